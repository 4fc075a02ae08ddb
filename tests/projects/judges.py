"""Programs that are not ours, asked about one image each."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def ask(*argv: str | Path, timeout: float = 120) -> str:
    """Run a judging program; it must succeed. Return what it printed."""
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout
    )
    words = " ".join(map(str, argv))
    assert done.returncode == 0, f"{words} ended with {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def skopeo_inspect(name: str) -> dict[str, Any]:
    """Return what skopeo reads from the registry about the image `name`."""
    return dict(json.loads(ask("skopeo", "inspect", "--tls-verify=false", f"docker://{name}")))


def skopeo_copy(name: str, layout: Path) -> Path:
    """Copy the image `name` from its registry into an OCI layout, as the tag `judged`."""
    ask("skopeo", "copy", "--src-tls-verify=false", f"docker://{name}", f"oci:{layout}:judged")
    return layout


def umoci_unpack(layout: Path, bundle: Path) -> Path:
    """Unpack the image of a layout into a runtime bundle."""
    ask("umoci", "unpack", "--image", f"{layout}:judged", bundle)
    return bundle


def runc_run(bundle: Path, argv: Sequence[str], *, identity: str) -> str:
    """Run a bundle with runc, with `argv` in place of what the image would start."""
    path = bundle / "config.json"
    config = json.loads(path.read_text())
    config["process"]["terminal"] = False
    config["process"]["args"] = list(argv)
    path.write_text(json.dumps(config))
    return ask("runc", "run", "--bundle", bundle, identity)
