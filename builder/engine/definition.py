"""The steps of a build as its provenance tells them: in BuildKit's words for them, with their places in the Dockerfile.

Source: BuildKit, solver/pb/ops.proto, as its provenance renders it.
"""

from __future__ import annotations

import base64
import os
from typing import Any, assert_never

from builder.engine.account import Account, address
from builder.graph.mounts import (
    AgentMount,
    BindMount,
    CacheMount,
    RunMount,
    SecretMount,
    TmpfsMount,
)
from builder.graph.operations import (
    SCRATCH,
    ContextSource,
    CopyOp,
    GitSource,
    HttpSource,
    ImageSource,
    MakeDirOp,
    Op,
    RunOp,
)
from builder.graph.vertex import Vertex
from builder.oci.mediatypes import OCI_LAYER
from builder.store.layers import Layer
from builder.store.root import Store

Document = dict[str, Any]

_SECRET, _AGENT, _CACHE, _TMPFS = 1, 2, 3, 4
_NETWORKS = {"host": 1, "none": 2}
_SHARING = {"shared": 0, "private": 1, "locked": 2}


def build_config(account: Account) -> Document:
    """Return the definition of a build: its steps, those first that others take from, and last what the result is."""
    steps = [
        {"id": _id(number), "op": _op(vertex.op), **_inputs(vertex)}
        for number, vertex in enumerate(account.graph.vertices)
    ]
    target = account.graph.target
    if target is not None:
        steps.append({"id": _id(len(steps)), "inputs": [f"{_id(target)}:0"]})
    return {"llbDefinition": steps}


def metadata(account: Account, store: Store) -> Document:
    """Return where in the Dockerfile each step stands, the Dockerfile, and the layers that each step stands for."""
    name = os.path.basename(account.dockerfile.name.partition("?")[0]) or "Dockerfile"
    text = account.dockerfile.text.encode("utf-8", "surrogateescape")
    source: Document = {
        "infos": [
            {
                "filename": name,
                "language": "Dockerfile",
                "data": base64.b64encode(text).decode("ascii"),
            }
        ],
        "locations": {
            _id(number): _location(vertex)
            for number, vertex in enumerate(account.graph.vertices)
            if vertex.span is not None
        },
    }
    layers = {
        f"{_id(number)}:0": [[_layer(layer, store) for layer in state.layers]]
        for number, state in sorted(account.states.items())
        if state.layers
    }
    return {"source": source, "layers": layers} if layers else {"source": source}


def _id(number: int) -> str:
    return f"step{number}"


def _inputs(vertex: Vertex) -> Document:
    inputs = [f"{_id(number)}:0" for number in vertex.inputs]
    return {"inputs": inputs} if inputs else {}


def _location(vertex: Vertex) -> Document:
    assert vertex.span is not None
    lines = {"start": {"line": vertex.span.line}, "end": {"line": vertex.span.end_line}}
    return {"locations": [{"ranges": [lines]}]}


def _layer(layer: Layer, store: Store) -> Document:
    """Return a descriptor: of the blob that a layer came as, or of its tar."""
    for form in store.layers.blobs(layer.diff_id):
        if form.pulled:
            return {"mediaType": form.media_type, "digest": form.digest, "size": form.size}
    return {"mediaType": OCI_LAYER, "digest": layer.diff_id, "size": max(layer.size, 0)}


def _op(op: Op) -> Document:
    match op:
        case ImageSource():
            name = "scratch" if op == SCRATCH else f"docker-image://{op.reference}"
            return {"Op": {"source": {"identifier": name}}, "platform": _platform(op.platform)}
        case ContextSource():
            return {"Op": {"source": {"identifier": f"local://{op.name}"}}}
        case HttpSource() | GitSource():
            scheme = "git://" if isinstance(op, GitSource) else ""
            return {"Op": {"source": {"identifier": f"{scheme}{address(op)}"}}}
        case RunOp():
            return {"Op": {"exec": _run(op)}, "platform": _platform(op.platform)}
        case CopyOp():
            return {"Op": {"file": {"actions": _copies(op)}}}
        case MakeDirOp():
            made = {"path": op.path, "mode": 0o755, "makeParents": True}
            action = {"input": 0, "secondaryInput": -1, "output": 0, "Action": {"mkdir": made}}
            return {"Op": {"file": {"actions": [action]}}}
        case _ as unreachable:
            assert_never(unreachable)


def _platform(text: str) -> Document:
    from builder.oci.platform import Platform

    found = Platform.parse(text) if text else Platform.host()
    plain = {"Architecture": found.architecture, "OS": found.os}
    return {**plain, "Variant": found.variant} if found.variant else plain


def _run(op: RunOp) -> Document:
    root = {"input": 0, "dest": "/", "output": 0}
    meta: Document = {"args": list(op.argv), "env": list(op.env), "cwd": op.cwd or "/"}
    if op.user:
        meta["user"] = op.user
    if op.hostname:
        meta["hostname"] = op.hostname
    mounts = [
        _mount(each) for each in op.mounts if not (isinstance(each, SecretMount) and each.env)
    ]
    found: Document = {"meta": meta, "mounts": [root, *mounts]}
    variables = [
        {"ID": each.id, "name": each.env, "optional": not each.required}
        for each in op.mounts
        if isinstance(each, SecretMount) and each.env
    ]
    if variables:
        found["secretenv"] = variables
    if op.network in _NETWORKS:
        found["network"] = _NETWORKS[op.network]
    if op.security != "sandbox":
        found["security"] = 1
    return found


def _mount(mount: RunMount) -> Document:
    match mount:
        case BindMount():
            return {
                "input": mount.input,
                "selector": mount.path,
                "dest": mount.target,
                "output": -1,
                "readonly": mount.read_only,
            }
        case CacheMount():
            options = {"ID": mount.id, "sharing": _SHARING[mount.sharing.value]}
            return {
                "input": mount.input or -1,
                "dest": mount.target,
                "output": -1,
                "mountType": _CACHE,
                "cacheOpt": options,
            }
        case TmpfsMount():
            return {
                "input": -1,
                "dest": mount.target,
                "output": -1,
                "mountType": _TMPFS,
                "TmpfsOpt": {"size": mount.size},
            }
        case SecretMount():
            secret = {"ID": mount.id, "mode": mount.mode, "optional": not mount.required}
            return {
                "input": -1,
                "dest": mount.target,
                "output": -1,
                "mountType": _SECRET,
                "secretOpt": secret,
            }
        case AgentMount():
            agent = {"ID": mount.id, "mode": mount.mode, "optional": not mount.required}
            return {
                "input": -1,
                "dest": mount.target,
                "output": -1,
                "mountType": _AGENT,
                "SSHOpt": agent,
            }
        case _ as unreachable:
            assert_never(unreachable)


def _copies(op: CopyOp) -> list[Document]:
    found: list[Document] = []
    for source in op.sources:
        where = {"input": 0, "secondaryInput": source.input or -1, "output": 0}
        for path in source.paths:
            copied: Document = {"src": f"/{path}", "dest": op.dest}
            if op.owner is not None:
                copied["owner"] = op.owner
            if op.mode is not None:
                copied["mode"] = op.mode
            found.append({**where, "Action": {"copy": copied}})
        for name, data in source.inline:
            made = {
                "path": f"{op.dest.rstrip('/')}/{name}" if op.dest.endswith("/") else op.dest,
                "data": base64.b64encode(data).decode("ascii"),
            }
            found.append({**where, "Action": {"mkfile": made}})
    return found
