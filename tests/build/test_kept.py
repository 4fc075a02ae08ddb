"""What is left of a step that failed, and what `debug` shows of any step: in this process, behind each of the walls."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.cli.application import main
from builder.cli.invocation import Invocation
from builder.errors import BuildError, ContainerError
from builder.solve.given import SecretSource
from builder.solve.surroundings import Limits
from builder.store import kept
from builder.store.builds import FAILED
from builder.store.pruning import Pruning
from runtime.spec import IsolationName, ProcessLimit
from tests.build.conftest import _needs_a_builder
from tests.build.looked import Looked
from tests.build.workshop import Workshop, workshop_in

FAILING = """
FROM base
ARG FLAVOUR=plain
ENV COLOUR=red
WORKDIR /work
RUN echo one > one
COPY given /work/
USER ann
RUN --mount=type=cache,target=/cache,uid=1000 --mount=type=bind,source=given,target=/bound \\
    echo cached >> /cache/x; echo two > /tmp/two; mkdir /tmp/closed; chmod 0 /tmp/closed; exit 3
RUN echo never
"""
WALLS = (None, IsolationName.SINGLE_ID, IsolationName.CHROOT)


@pytest.fixture
def files(context: Path) -> Path:
    """A context with one file."""
    (context / "given").write_text("given\n")
    return context


@pytest.fixture(params=WALLS, ids=lambda name: "best" if name is None else name.value)
def walled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workshop]:
    """A workshop behind the best walls, and behind some that are weaker."""
    _needs_a_builder()
    if request.param is IsolationName.CHROOT and os.geteuid() != 0:
        pytest.skip("optional: `chroot` needs root")
    ground = tmp_path / "walled"
    ground.mkdir()
    given = {} if request.param is None else {"isolation": request.param}
    with workshop_in(ground, **given) as shop:
        yield shop


def layers(workshop: Workshop) -> int:
    """Return how many layers the store knows."""
    found = workshop.engine.info()["Layers"]
    assert isinstance(found, int)
    return found


def test_a_failed_step_is_looked_into_with_all_that_it_had(walled: Workshop, files: Path) -> None:
    error = walled.refused(files, FAILING, keep_failed=True, build_args=(("FLAVOUR", "sweet"),))
    assert error.hint == "to look around, run `lapstrake debug`"
    script = "pwd; id -un; echo $COLOUR $FLAVOUR; cat one given /tmp/two /cache/x /bound; ls -d /tmp/closed"
    looked = Looked(walled, "/bin/sh", "-c", script)
    assert looked.out.splitlines() == [
        *("/work", "ann", "red sweet", "one", "given", "two", "cached", "given", "/tmp/closed")
    ]
    assert "as it left them when it failed" in looked.said
    assert walled.leftovers() == []


def test_without_keeping_the_state_before_the_failed_step_is_shown(
    walled: Workshop, files: Path
) -> None:
    before = layers(walled)
    walled.refused(files, FAILING)
    assert layers(walled) == before + 4
    looked = Looked(walled, "/bin/sh", "-c", "cat one given /cache/x; ls /tmp; exit 9")
    assert (looked.code, looked.out) == (9, "one\ngiven\ncached\n")
    assert "as they were before it" in looked.said
    assert "--keep-failed" in looked.said


def test_nothing_that_is_done_there_is_kept(walled: Workshop, files: Path) -> None:
    walled.refused(files, FAILING, keep_failed=True)
    done = layers(walled)
    for _ in range(2):
        looked = Looked(walled, "/bin/sh", "-c", "rm /tmp/two && echo > /tmp/more && ls /tmp")
        assert looked.out == "closed\nmore\n"
    assert layers(walled) == done
    walled.refused(files)
    assert "as they were before it" in Looked(walled, "/bin/true").said


def test_an_image_is_made_of_what_is_done_there_on_request(walled: Workshop, files: Path) -> None:
    walled.refused(files, FAILING, keep_failed=True)
    script = "rm /tmp/two; echo three > /tmp/three; exit 7"
    looked = Looked(walled, "/bin/sh", "-c", script, keep="mended:1")
    assert looked.code == 7
    assert "nothing that is done here is kept" not in looked.said
    built = walled.build(files, "FROM mended:1\nRUN ls /tmp; pwd; id -un; echo $COLOUR; cat one")
    assert built.watch.output() == "closed\nthree\n/work\nann\nred\none\n"
    assert built.image.config["Cmd"] == ["/bin/sh"]
    assert walled.leftovers() == []


def test_finished_steps_are_shown_as_they_were_after_them(workshop: Workshop, files: Path) -> None:
    workshop.refused(files, FAILING)
    assert Looked(workshop, "/bin/ls", "/work", step="5").out == "one\n"
    assert Looked(workshop, "/bin/ls", "/work", step="stage-0:6").out == "given\none\n"
    assert Looked(workshop, "/bin/ls", "/work", step="#1").out == ""
    copied = Looked(workshop, "/bin/sh", "-c", "id -un; echo $COLOUR", step="6")
    assert copied.out == "root\nred\n", (
        "without a command it has the surroundings of the one before"
    )
    assert "RUN --mount" in Looked(workshop, "/bin/true", step="9").said
    with pytest.raises(BuildError, match="no step `10`") as refused:
        Looked(workshop, "/bin/ls", step="10")
    assert refused.value.code == "build.not-found"


def test_a_build_that_went_well_is_shown_as_it_is_at_its_end(
    workshop: Workshop, files: Path
) -> None:
    workshop.build(files, "RUN echo a > /a\nRUN echo b > /b")
    assert Looked(workshop, "/bin/cat", "/a", "/b").out == "a\nb\n"
    first = workshop.engine.builds()[0].id
    workshop.build(files, "RUN echo c > /c")
    assert Looked(workshop, "/bin/cat", "/b", build=first[-6:], step="3").out == "b\n"
    workshop.build(files)
    assert Looked(workshop, "/bin/cat", "/c").out == "c\n", "all of it came from the cache"


def test_a_shell_is_the_images_or_else_the_hosts(workshop: Workshop, files: Path) -> None:
    text = "FROM base AS b\nFROM scratch\nCOPY --from=b /bin/busybox /only/busybox\nRUN [%s]"
    workshop.refused(files, text % '"/only/busybox", "false"', keep_failed=True)
    assert Looked(workshop).code == 0
    workshop.refused(files, "RUN false")
    assert Looked(workshop).code == 0


def test_a_missing_shell_is_said_with_what_helps(
    workshop: Workshop, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builder.engine.debugging.find_static_busybox", lambda: None)
    workshop.refused(files, 'FROM scratch\nCOPY given /\nRUN ["/given"]')
    with pytest.raises(ContainerError, match="no shell") as refused:
        Looked(workshop)
    assert "busybox-static" in (refused.value.hint or "")


def test_a_command_that_cannot_be_started_is_kept_like_one_that_fails(
    workshop: Workshop, files: Path
) -> None:
    error = workshop.refused(files, 'COPY given /\nRUN ["/given"]', keep_failed=True)
    assert error.code == "build.start-failed"
    assert Looked(workshop, "/bin/cat", "/given").out == "given\n"


def test_secrets_are_there_only_if_they_are_given_again(workshop: Workshop, files: Path) -> None:
    secret = SecretSource(id="token", path=str(files / "given"))
    text = "RUN --mount=type=secret,id=token,required cat /run/secrets/token >&2; exit 1"
    workshop.refused(files, text, keep_failed=True, secrets=(secret,))
    without = Looked(workshop, "/bin/ls", "/run/secrets/token")
    assert without.code != 0
    assert "--secret id=token,src=FILE" in without.said
    given = Looked(workshop, "/bin/cat", "/run/secrets/token", secrets=(secret,))
    assert given.out == "given\n"
    assert "--secret" not in given.said


def test_network_hosts_and_limits_are_those_of_the_step(workshop: Workshop, files: Path) -> None:
    limits = Limits(processes=(ProcessLimit("nofile", 77, 77),), shared_memory=8 << 20)
    workshop.refused(
        files, "RUN false", network="none", hosts=(("database", "10.1.2.3"),), limits=limits
    )
    script = "ls /sys/class/net; ulimit -n; grep database /etc/hosts; df -k /dev/shm | tail -1"
    looked = Looked(workshop, "/bin/sh", "-c", script)
    net, files_, host, shm = looked.out.splitlines()
    assert (net, files_, host.split()) == ("lo", "77", ["10.1.2.3", "database"])
    assert shm.split()[1] == "8192"


def test_the_script_of_a_here_document_is_there(workshop: Workshop, files: Path) -> None:
    text = "RUN <<EOF\n#!/bin/sh\necho $0 > /tmp/name\nexit 1\nEOF"
    workshop.refused(files, text, keep_failed=True)
    looked = Looked(workshop, "/bin/sh", "-c", "cat $(cat /tmp/name)")
    assert looked.out == "#!/bin/sh\necho $0 > /tmp/name\nexit 1\n"


def test_what_a_failed_step_wrote_is_not_kept_where_it_holds_a_secret(
    workshop: Workshop, files: Path
) -> None:
    (files / "given").write_text("correct horse battery staple\n")
    secret = SecretSource(id="token", path=str(files / "given"))
    text = "RUN --mount=type=secret,id=token cp /run/secrets/token /stolen; exit 1"
    error = workshop.refused(files, text, keep_failed=True, secrets=(secret,))
    assert error.code == "build.run-failed"
    assert any("cannot be kept" in note for note in error.notes)
    assert "as they were before it" in Looked(workshop, "/bin/true").said


def test_a_failed_step_is_never_taken_from_the_cache(fresh: Workshop, files: Path) -> None:
    for _ in range(2):
        error = fresh.refused(files, "RUN echo x > /x; exit 4", keep_failed=True)
        assert error.message == "the command exited with code 4"
    built = fresh.build(files, "RUN echo x > /x")
    assert built.executed == ["RUN echo x > /x"]


def test_only_so_many_failed_steps_are_kept(
    fresh: Workshop, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept.tidy, "__defaults__", (2,))
    for number in range(4):
        fresh.refused(files, f"RUN echo {number} > /x; exit 1", keep_failed=True)
    shown = [
        "left" in Looked(fresh, "/bin/true", build=about.id).said
        for about in fresh.engine.builds()
        if about.outcome == FAILED
    ]
    assert shown == [True, True, False, False]


def test_a_layer_that_an_image_needs_is_not_forgotten_with_a_failed_step(
    fresh: Workshop, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept.tidy, "__defaults__", (1,))
    fresh.refused(files, "RUN echo x > /x; exit 1", keep_failed=True)
    fresh.build(files, "RUN echo x > /x", tags=("same",))
    fresh.refused(files, "RUN echo y > /x; exit 1", keep_failed=True)
    assert fresh.build(files, "FROM same\nRUN cat /x").watch.output() == "x\n"


def test_what_is_kept_is_pruned_and_that_is_said(fresh: Workshop, files: Path) -> None:
    fresh.refused(files, FAILING, keep_failed=True)
    fresh.engine.prune()
    with pytest.raises(BuildError, match="no longer in the store") as refused:
        Looked(fresh, "/bin/true")
    assert "build again" in (refused.value.hint or "")


def test_what_was_kept_lately_stays_where_only_what_is_old_is_pruned(
    fresh: Workshop, files: Path
) -> None:
    fresh.refused(files, FAILING, keep_failed=True)
    fresh.engine.prune(Pruning(until=fresh.engine.builds()[0].started - 3600))
    assert Looked(fresh, "/bin/cat", "/tmp/two").out == "two\n"


def test_a_cancelled_build_loses_no_finished_step_and_can_be_looked_into(
    fresh: Workshop, files: Path
) -> None:
    timer = threading.Timer(1.5, fresh.engine.cancellation.cancel)
    timer.start()
    fresh.refused(files, "RUN echo done > /done\nRUN sleep 20")
    # The engine is done for after that; what follows is another run of the program.
    fresh.engine._behind.cancellation = type(fresh.engine.cancellation)()
    looked = Looked(fresh, "/bin/cat", "/done")
    assert looked.out == "done\n"
    assert "sleep 20" in looked.said
    assert fresh.build(files, "RUN echo done > /done\nRUN true").executed == ["RUN true"]


def test_proxies_of_the_build_are_not_remembered(workshop: Workshop, files: Path) -> None:
    proxy = (("http_proxy", "http://me:s3cret@127.0.0.1:9"),)
    workshop.refused(files, "RUN false", build_args=proxy)
    logs = [path.read_bytes() for path in (workshop.root / "builds").iterdir()]
    assert logs
    assert not any(b"s3cret" in log for log in logs)


def test_the_words_of_the_command_line(
    workshop: Workshop, files: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    workshop.refused(files, FAILING)
    for words, out in (
        ((":5", "--", "ls", "/work"), "one\n"),
        (("last:6", "--", "ls", "/work"), "given\none\n"),
        (("#1", "--", "ls", "-a", "/work"), ".\n..\n"),
        (("--", "echo", "--", "a"), "-- a\n"),
    ):
        capfd.readouterr()
        assert main(["--root", str(workshop.root), "debug", *words], Invocation()) == 0
        assert capfd.readouterr().out == out
    assert main(["--root", str(workshop.root), "debug", "nosuch"], Invocation()) == 1
    assert "error[build.not-found]" in capfd.readouterr().err
