"""The pages on libraries are run as they are written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.registry import Registry

DOCS = Path(__file__).parents[2] / "docs"


def example(page: str) -> str:
    """Return all that a page shows, in its order."""
    text = (DOCS / page).read_text()
    return "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE))


def test_the_page_on_documents_runs() -> None:
    exec(compile(example("oci-library.md"), "oci-library.md", "exec"), {})


def test_the_page_on_registries_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    monkeypatch.chdir(tmp_path)
    registry.auth, registry.password = "token", "secret"
    code = example("registry-library.md").replace("registry.example:5000", registry.host)
    exec(compile(code, "registry-library.md", "exec"), {"__name__": "page"})
    assert ("team/copy", "latest") in registry.manifests


@pytest.mark.parametrize("package", ["oci", "registry"])
def test_every_name_of_a_package_is_there_and_loads_nothing_before(package: str) -> None:
    script = (
        f"import sys, builder.{package} as package\n"
        f"loaded = [name for name in sys.modules if name.startswith('builder.{package}.')]\n"
        "assert not loaded, loaded\n"
        "assert all(getattr(package, name) for name in package.__all__)\n"
        "assert set(package._HOMES) == set(package.__all__)\n"
        "try: package.nothing\n"
        "except AttributeError: pass\n"
        "else: raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
