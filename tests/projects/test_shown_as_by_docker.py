"""What a real Docker shows of an image, byte for byte: through templates, as tables, as JSON.

Sizes and ages are left out: sizes are those of archives here, and ages grow.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.docker_engine import DockerEngine
from tests.support.product import Product, report

NAME = "shown:1"
DOCKERFILE = """\
FROM scratch
LABEL a=b c="d <e>" z="é"
ENV X=1 Y="a b"
EXPOSE 80/tcp 53/udp
VOLUME /data
WORKDIR /w
USER 5:6
COPY Dockerfile /f
STOPSIGNAL SIGINT
ENTRYPOINT ["/e"]
CMD ["x", "y z"]
HEALTHCHECK --interval=90s CMD ["t"]
ONBUILD COPY a b
"""
INSPECT = (
    "{{.Id}}",
    "{{.ID}}",
    "{{.RepoTags}} {{json .RepoTags}} {{.RepoDigests}}",
    "{{.Config.Env}} {{json .Config.Env}}",
    "{{range .Config.Env}}{{println .}}{{end}}",
    "{{.Config.Labels}} {{json .Config.Labels}}",
    '{{index .Config.Labels "c"}}|{{index .Config.Labels "nope"}}|{{.Config.Labels.nope}}',
    "{{.Config.ExposedPorts}} {{json .Config.ExposedPorts}} {{json .Config.Volumes}}",
    "{{range $port, $_ := .Config.ExposedPorts}}{{$port}};{{end}}",
    "{{.Config.WorkingDir}} {{.Config.User}} {{.Config.StopSignal}}",
    "{{.Config.Cmd}} {{.Config.Entrypoint}} {{.Config.OnBuild}} {{.Config.Shell}}",
    "{{.Config.Healthcheck.Test}} {{.Config.Healthcheck.Interval}} {{.Config.Healthcheck.Retries}}",
    "{{json .Config.Healthcheck}} {{json .Config.Shell}}",
    "{{.Architecture}}/{{.Os}}{{if .Variant}}/{{.Variant}}{{end}}",
    "{{.RootFS.Type}} {{len .RootFS.Layers}} {{json .RootFS}}",
    "{{.Author}}|{{.Comment}}|{{.Parent}}|{{.Created}}",
    '{{printf "%.19s" .Id}} {{slice .Id 7 19}}',
    '{{join .Config.Cmd "+"}} {{title "ab c"}} {{split "a.b" "."}} {{upper .Os}}',
    "{{with .Config.Healthcheck}}{{.Retries}}{{else}}none{{end}}",
    "{{.Nope}}",
    "{{.Config.Nope}}",
    "{{.Config.Cmd.Nope}}",
    "{{.Id",
    "{{foo .Id}}",
    "{{len .Id | index .RepoTags}}",
)
OTHERS = (
    ("history", "-q", NAME),
    ("history", "-q", "--no-trunc", NAME),
    ("history", "--format", "{{.ID}}|{{.CreatedBy}}|{{.Comment}}|{{.CreatedAt}}", NAME),
    ("history", "--format", "table {{.ID}}\\t{{.CreatedBy}}\\t{{.Comment}}", NAME),
    ("history", "--no-trunc", "--format", "table {{.CreatedBy}}\\t{{.ID}}", NAME),
    ("history", "--format", "{{.Nope}}", NAME),
    ("images", "-q", NAME),
    ("images", "-q", "--no-trunc", "shown"),
    ("images", "--format", "{{.ID}} {{.Repository}} {{.Tag}} {{.Digest}} {{.CreatedAt}}", NAME),
    ("images", "--format", "table {{.Repository}}\\t{{.Tag}}", "shown"),
    ("images", "--digests", "--format", "table {{.Repository}}\\t{{.Tag}}", "shown"),
    ("images", "--format", "table {{lower .Repository}} {{pad .Tag 1 1}}|", "shown"),
    ("images", "-q", "--filter", "label=a", "--filter", "label=c=d <e>"),
    ("images", "-q", "--filter", "label=a=c"),
    ("images", "-q", "--filter", "reference=sho?n:*", "--filter", "reference=nope"),
    ("images", "-q", "--filter", "reference=s*/n"),
    ("images", "-q", "--filter", f"before={NAME}", "shown"),
    ("images", "-q", "--filter", "dangling=true", "shown"),
    ("image", "ls", "-q", NAME),
)  # fmt: skip


@pytest.fixture(scope="module")
def both(
    products: dict[str, Product], engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Product, DockerEngine]]:
    """Return the product and a Docker engine that have the same image."""
    if "root" not in products:
        pytest.skip("a Docker engine needs root")
    context: Path = tmp_path_factory.mktemp("shown")
    (context / "Dockerfile").write_text(DOCKERFILE)
    product = products["root"]
    product.run("build", "-t", NAME, context)
    product.run("save", "-o", context / "shown.tar", NAME)
    loaded = engine.run("load", "--input", str(context / "shown.tar"))
    assert loaded.returncode == 0, report(loaded)
    yield product, engine
    product.run("rmi", NAME)


def compare(both: tuple[Product, DockerEngine], *words: str) -> None:
    product, engine = both
    theirs = engine.run(*words)
    ours = product.run(*words, code=theirs.returncode)
    assert ours.stdout == theirs.stdout
    if "template parsing error" in theirs.stderr:
        assert theirs.stderr.strip() in ours.stderr


@pytest.mark.parametrize("template", INSPECT)
def test_details(both: tuple[Product, DockerEngine], template: str) -> None:
    compare(both, "inspect", "--format", template, NAME)


@pytest.mark.parametrize("words", OTHERS, ids=" ".join)
def test_lists(both: tuple[Product, DockerEngine], words: tuple[str, ...]) -> None:
    compare(both, *words)
