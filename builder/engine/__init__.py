"""The composition root and the Python API: the only place that picks implementations."""

from __future__ import annotations

from builder.engine.engine import Engine
from builder.engine.requests import (
    BuildRequest,
    BuildResult,
    CallRequest,
    DebugRequest,
    HistoryRow,
    ImageFilter,
    ImageRow,
    Output,
    PruneResult,
    PullResult,
    PushResult,
    RemoveResult,
    RunRequest,
    TreeMember,
    TreeRow,
)
from builder.store.pruning import Kind, LabelFilter, Pruning

__all__ = [
    "BuildRequest",
    "BuildResult",
    "CallRequest",
    "DebugRequest",
    "Engine",
    "HistoryRow",
    "ImageFilter",
    "ImageRow",
    "Kind",
    "LabelFilter",
    "Output",
    "PruneResult",
    "Pruning",
    "PullResult",
    "PushResult",
    "RemoveResult",
    "RunRequest",
    "TreeMember",
    "TreeRow",
]
