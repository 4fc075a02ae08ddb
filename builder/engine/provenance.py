"""Provenance: what an image was built from, how and when, as a predicate of SLSA.

    account ─► v1 ─► v0.2            the members and the build type are those of BuildKit, whose readers understand them

`min` tells what went in and how to ask for it again, without the values of build arguments; `max` also tells these, the
names of secrets, the Dockerfile and every step. Never told: values of secrets, paths of this machine, passwords and queries
in addresses.

Source: SLSA, "Provenance" v1.1 and v0.2; BuildKit, docs/attestations/slsa-definitions.md.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from enum import Enum
from typing import Any

import msgspec

from builder.engine.account import CONTEXT, Account, BaseImage, address
from builder.engine.definition import build_config, metadata
from builder.export.package import purl
from builder.graph.mounts import AgentMount, SecretMount
from builder.graph.operations import ContextSource, RunOp
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.store.root import Store

BUILD_TYPE = "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md"
BUILD_TYPE_V02 = "https://mobyproject.org/buildkit@v1"
_BUILDKIT = "https://mobyproject.org/buildkit@v1"
_FRONTEND = "dockerfile.v0"
_FILE = "Dockerfile"
_STDIN = "-"

Document = dict[str, Any]


class Version(Enum):
    """Which version of SLSA's format; the value is the type of the predicate."""

    V1 = "https://slsa.dev/provenance/v1"
    V02 = "https://slsa.dev/provenance/v0.2"


class Detail(Enum):
    """How much is told."""

    MIN = "min"
    MAX = "max"


class Telling(msgspec.Struct, frozen=True, kw_only=True):
    """How provenance is told; `builder` and `reproducible` are what the caller says of itself and of the build."""

    detail: Detail = Detail.MAX
    version: Version = Version.V1
    builder: str = ""
    reproducible: bool = False


def predicate(account: Account, telling: Telling, store: Store) -> bytes:
    """Return the predicate as JSON."""
    document = _v1(account, telling, store)
    if telling.version is Version.V02:
        document = _v02(document)
    return msgspec.json.encode(document)


def _v1(account: Account, telling: Telling, store: Store) -> Document:
    everything = telling.detail is Detail.MAX
    arguments = _arguments(account)
    asked = {
        name: value
        for name, value in arguments.items()
        if everything or not name.startswith(("build-arg:", "label:"))
    }
    locals_ = _locals(account)
    request: Document = {"frontend": _FRONTEND}
    if asked:
        request["args"] = asked
    if everything:
        request |= _secrets(account)
    if locals_:
        request["locals"] = [{"name": name} for name in locals_]
    found = list(_dependencies(account))
    internal: Document = {"builderPlatform": str(Platform.host()), "lapstrake": _versions()}
    if everything:
        internal["buildConfig"] = build_config(account)
    complete = not locals_ and all("digest" in each for each in found)
    details: Document = {
        "invocationId": account.invocation,
        "startedOn": _text(account.started),
        "finishedOn": _text(account.finished),
        "buildkit_metadata": metadata(account, store) if everything else {},
        "buildkit_completeness": {
            "request": asked.keys() == arguments.keys(),
            "resolvedDependencies": complete,
        },
    }
    if complete and not _has_network(account):
        details["buildkit_hermetic"] = True
    if telling.reproducible:
        details["buildkit_reproducible"] = True
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"configSource": _config_source(account), "request": request},
            "internalParameters": internal,
            "resolvedDependencies": found,
        },
        "runDetails": {"builder": {"id": telling.builder}, "metadata": details},
    }


def _v02(document: Document) -> Document:
    """Say the same in the words of the older version."""
    definition, run = document["buildDefinition"], document["runDetails"]
    internal, details = definition["internalParameters"], run["metadata"]
    source = dict(definition["externalParameters"]["configSource"])
    if "path" in source:
        source["entryPoint"] = source.pop("path")
    environment = {
        name: value
        for name, value in internal.items()
        if name not in ("builderPlatform", "buildConfig")
    }
    found: Document = {
        "builder": run["builder"],
        "buildType": BUILD_TYPE_V02,
        "materials": definition["resolvedDependencies"],
        "invocation": {
            "configSource": source,
            "parameters": definition["externalParameters"]["request"],
            "environment": {"platform": internal["builderPlatform"], **environment},
        },
        "metadata": {
            "buildInvocationID": details["invocationId"],
            "buildStartedOn": details["startedOn"],
            "buildFinishedOn": details["finishedOn"],
            "completeness": {
                "parameters": details["buildkit_completeness"]["request"],
                "environment": True,
                "materials": details["buildkit_completeness"]["resolvedDependencies"],
            },
            "reproducible": details.get("buildkit_reproducible", False),
            f"{_BUILDKIT}#metadata": details["buildkit_metadata"],
        },
    }
    if "buildkit_hermetic" in details:
        found["metadata"][f"{_BUILDKIT}#hermetic"] = True
    if "buildConfig" in internal:
        found["buildConfig"] = internal["buildConfig"]
    return found


def _arguments(account: Account) -> dict[str, str]:
    """Return what was asked of the build, by the names that BuildKit has for it."""
    request = account.request
    found = {f"build-arg:{name}": value for name, value in account.build_args}
    found |= {f"label:{name}": value for name, value in request.labels}
    for name, op in account.contexts:
        found[f"context:{name}"] = f"local:{name}" if op is None else address(op)
    for image in account.images:
        if image.layout:
            found[f"context:{image.layout}"] = f"oci-layout:{image.layout}"
    if account.remote is not None and request.dockerfile == _STDIN:
        found["context"] = address(account.remote)
    if request.target:
        found["target"] = request.target
    if request.no_cache:
        found["no-cache"] = ""
    if request.network != "default":
        found["force-network-mode"] = request.network
    if request.hosts:
        found["add-hosts"] = ",".join(f"{name}={where}" for name, where in request.hosts)
    return dict(sorted(found.items()))


def _secrets(account: Account) -> Document:
    """Return the names of secrets and agents that steps ask for."""
    secrets: dict[str, bool] = {}
    agents: dict[str, bool] = {}
    for vertex in account.graph.vertices:
        for mount in vertex.op.mounts if isinstance(vertex.op, RunOp) else ():
            match mount:
                case SecretMount():
                    secrets[mount.id] = secrets.get(mount.id, False) or mount.required
                case AgentMount():
                    agents[mount.id] = agents.get(mount.id, False) or mount.required
                case _:
                    pass
    found: Document = {}
    for key, names in (("secrets", secrets), ("ssh", agents)):
        if names:
            found[key] = [
                {"id": name} if required else {"id": name, "optional": True}
                for name, required in sorted(names.items())
            ]
    return found


def _locals(account: Account) -> list[str]:
    """Return the names of what came from this machine and has no digest."""
    used = {each.op.name for each in account.graph.vertices if isinstance(each.op, ContextSource)}
    found = {name for name, op in account.contexts if op is None and name in used}
    if account.remote is None:
        found |= used & {CONTEXT}
    if account.remote is None or account.request.dockerfile == _STDIN:
        found.add("dockerfile")
    return sorted(found)


def _config_source(account: Account) -> Document:
    """Return where the Dockerfile came from; of one that was here only its name is told."""
    given = account.request.dockerfile or _FILE
    if account.remote is None or given == _STDIN:
        name = os.path.basename(given).partition("?")[0]
        return {"path": _FILE if name in ("", _STDIN) else name}
    found: Document = {"uri": address(account.remote)}
    digest = dict(account.fetched).get(account.remote)
    if digest is not None:
        found["digest"] = _digest_set(digest)
    return {**found, "path": os.path.normpath(given.lstrip("/"))}


def _dependencies(account: Account) -> Iterator[Document]:
    """Yield what went in, images first, each once and with its digest where that is known."""
    for image in sorted(account.images, key=lambda each: (each.reference, each.platform)):
        found: Document = {"uri": _image(image)}
        if image.digest is not None:
            found["digest"] = _digest_set(image.digest)
        yield found
    remote = {address(op): digest for op, digest in account.fetched}
    for uri, digest in sorted(remote.items()):
        yield {"uri": uri, "digest": _digest_set(digest)}


def _image(image: BaseImage) -> str:
    platform = Platform.parse(image.platform)
    if image.layout:
        version = "" if image.digest is None else f"@{image.digest.replace(':', '%3A')}"
        return f"pkg:oci/{image.layout}{version}?platform={str(platform).replace('/', '%2F')}"
    return purl(Reference.parse(image.reference), platform)


def _digest_set(digest: str) -> dict[str, str]:
    algorithm, colon, text = digest.partition(":")
    if colon:
        return {algorithm: text}
    return {"sha256" if len(digest) == 64 else "sha1": digest}


def _has_network(account: Account) -> bool:
    ops = [each.op for each in account.graph.vertices]
    return any(isinstance(op, RunOp) and op.network != "none" for op in ops)


def _versions() -> dict[str, str]:
    """Return what bytes depend on besides the inputs: who packed the layers, and who compresses them."""
    import zlib
    from importlib.metadata import PackageNotFoundError, version

    import zstandard

    try:
        own = version("lapstrake")
    except PackageNotFoundError:
        own = "unknown"
    zstd = ".".join(str(part) for part in zstandard.ZSTD_VERSION)
    return {"version": own, "zlib": zlib.ZLIB_RUNTIME_VERSION, "zstd": zstd}


def _text(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
