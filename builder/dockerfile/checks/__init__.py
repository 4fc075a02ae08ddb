"""The checks: what a Dockerfile may do, but better should not.

    options ── which rules are in force (`# check=`, the comments above an instruction, a build argument)
    rules ──── the names and what each is about
    walk ───── every instruction with the variables in force there
    names heads values commands ports sources descriptions advice ── the rules themselves
    survey ─── all of them over one file

A finding is a warning whose code is the rule's name.

Source: moby/buildkit, frontend/dockerfile/linter (names and behaviour, not code).
"""

from __future__ import annotations

from builder.dockerfile.checks.options import NOT_A_RULE, Checks, ChecksFailed, read_checks

__all__ = ["NOT_A_RULE", "Checks", "ChecksFailed", "read_checks"]
