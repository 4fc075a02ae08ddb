"""The doctor's findings, from what was tried."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builder.cli.application import main
from builder.cli.invocation import Invocation
from builder.engine import doctor, platforms
from builder.engine.findings import Finding
from builder.oci.platform import Platform
from builder.settings import Settings
from runtime.checkup import Attempt, Tried
from runtime.emulation import Emulation, How
from runtime.spec import IsolationName

TRIED = (
    Tried(Emulation("i386", How.DIRECTLY)),
    Tried(Emulation("aarch64", How.DIRECTLY, "/nowhere/qemu"), "9.1"),
    Tried(Emulation("ppc64le", How.DIRECTLY)),
    Tried(Emulation("riscv64", How.SHOWN, "/nowhere/qemu")),
    Tried(Emulation("s390x", How.NOT, reason="it is missing", hint="install it")),
    Tried(Emulation("arm", How.NOT, reason="it is missing", hint="install it")),
)
REFUSED = Attempt(ok=False, reason="the kernel refused it", hint="allow it there")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> dict[IsolationName, Attempt]:
    """A host on which the walls in the dictionary can be had."""
    allowed: dict[IsolationName, Attempt] = {}
    monkeypatch.setattr(doctor, "try_walls", lambda name: allowed.get(name, REFUSED))
    monkeypatch.setattr(doctor, "try_filter", lambda _: Attempt(ok=True))
    monkeypatch.setattr(doctor, "try_own_network", lambda _: Attempt(ok=True))
    monkeypatch.setattr(doctor, "try_private_network", lambda _: Attempt(ok=True))
    monkeypatch.setattr(
        doctor, "try_limits", lambda _: {"memory": Attempt(ok=False, reason="they are root's")}
    )
    monkeypatch.setattr(doctor, "try_behind", lambda *_: Attempt(ok=True))
    monkeypatch.setattr(platforms, "try_machines", lambda *_: TRIED)
    return allowed


def examine(tmp_path: Path, isolation: IsolationName = IsolationName.AUTO) -> doctor.Report:
    return doctor.examine(
        Settings(root=str(tmp_path / "a/store"), docker_config="", isolation=isolation)
    )


def finding(report: doctor.Report, name: str) -> Finding:
    [found] = [each for each in report.findings if each.name == name]
    return found


def test_the_strongest_walls_that_work_are_taken(
    host: dict[IsolationName, Attempt], tmp_path: Path
) -> None:
    host[IsolationName.ROOTLESS] = host[IsolationName.SINGLE_ID] = Attempt(ok=True)
    report = examine(tmp_path)
    assert report.can_build
    assert report.isolation == "rootless"
    assert finding(report, "auto").reason == "takes `rootless`"
    assert finding(report, "root").cost == "`rootless` is taken instead"
    assert finding(report, "root").change == "allow it there"


def test_what_is_weaker_than_what_works_costs_nothing(
    host: dict[IsolationName, Attempt], tmp_path: Path
) -> None:
    host[IsolationName.ROOT] = Attempt(ok=True)
    weaker = finding(examine(tmp_path), "rootless")
    assert (weaker.cost, weaker.change) == ("nothing, as `root` works", "")


def test_chroot_is_never_taken_by_itself_but_offered(
    host: dict[IsolationName, Attempt], tmp_path: Path
) -> None:
    host[IsolationName.CHROOT] = Attempt(ok=True)
    host[IsolationName.AUTO] = Attempt(ok=False, reason="nothing works")
    report = examine(tmp_path)
    assert not report.can_build
    assert "--isolation chroot" in finding(report, "auto").change
    assert "no wall against a hostile step" in finding(report, "chroot").reason
    asked = examine(tmp_path, IsolationName.CHROOT)
    assert asked.can_build
    assert asked.isolation == "chroot"


def test_what_a_host_lacks_says_what_that_costs_and_what_to_change(
    host: dict[IsolationName, Attempt], tmp_path: Path
) -> None:
    host[IsolationName.USERNS_ROOT] = Attempt(ok=True, facts={"fresh_proc": False})
    report = examine(tmp_path)
    proc = finding(report, "a fresh /proc")
    assert not proc.ok
    assert "systempaths=unconfined" in proc.change
    for each in report.findings:
        assert each.ok or each.reason, each.name


def test_the_report_is_printed_for_people_and_for_machines(
    host: dict[IsolationName, Attempt], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host[IsolationName.ROOT] = Attempt(ok=True)
    assert main(["--root", str(tmp_path), "doctor"], Invocation()) == 0
    said = capsys.readouterr().out
    assert "yes  auto: takes `root`" in said
    assert said.endswith("Dockerfiles can be built here, behind the walls `root`.\n")
    assert main(["--root", str(tmp_path), "doctor", "--json"], Invocation()) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["can_build"] is True
    assert {"group", "name", "ok", "reason", "cost", "change", "needed"} == set(
        document["findings"][0]
    )
    host.clear()
    assert main(["--root", str(tmp_path), "doctor"], Invocation()) == 1
    assert "cannot be built here" in capsys.readouterr().out


def test_a_limit_that_cannot_be_set_says_what_holds_instead(
    host: dict[IsolationName, Attempt], tmp_path: Path
) -> None:
    host[IsolationName.ROOTLESS] = Attempt(ok=True)
    report = examine(tmp_path)
    memory = finding(report, "memory")
    assert (memory.ok, memory.reason, report.can_build) == (False, "they are root's", True)
    assert "each process" in memory.cost
    assert "control groups" in memory.change


def test_ids_are_not_asked_for_where_there_are_no_user_namespaces(
    host: dict[IsolationName, Attempt], tmp_path: Path
) -> None:
    host[IsolationName.ROOTLESS] = Attempt(ok=False, reason="no ids", hint="run usermod")
    assert finding(examine(tmp_path), "rootless").change == "allow it there"
    host[IsolationName.SINGLE_ID] = Attempt(ok=True)
    assert finding(examine(tmp_path), "rootless").change == "run usermod"


def test_a_store_whose_place_is_taken_by_a_file_is_no_store(
    host: dict[IsolationName, Attempt], tmp_path: Path
) -> None:
    host[IsolationName.ROOT] = Attempt(ok=True)
    (tmp_path / "a").touch()
    report = examine(tmp_path)
    store = finding(report, str(tmp_path / "a/store"))
    assert (store.ok, report.can_build) == (False, False)
    assert "is no directory" in store.reason
    assert "--root" in store.change


def test_a_store_that_cannot_be_stacked_says_what_that_costs(
    host: dict[IsolationName, Attempt], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host[IsolationName.ROOT] = host[IsolationName.CHROOT] = Attempt(ok=True)
    monkeypatch.setattr(doctor, "try_behind", lambda *_: Attempt(ok=False, reason="no marks"))
    states = finding(examine(tmp_path), "stacked states")
    assert (states.ok, states.reason) == (False, "no marks")
    assert "copied" in states.cost
    chroot = finding(examine(tmp_path, IsolationName.CHROOT), "stacked states")
    assert chroot.reason == "behind `chroot` nothing is mounted"


def test_platforms_say_how_they_run_and_those_that_lack_the_same_say_it_once(
    host: dict[IsolationName, Attempt], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Platform, "host", classmethod(lambda cls: cls("linux", "amd64")))
    host[IsolationName.ROOTLESS] = Attempt(ok=True)
    report = examine(tmp_path)
    said = {each.name: each.reason for each in report.findings if each.group == "platforms"}
    assert said == {
        "linux/386": "natively",
        "linux/arm64": "by `/nowhere/qemu` 9.1, which is registered with the kernel",
        "linux/ppc64le": "by an emulator that the machine around has registered",
        "linux/riscv64": "by `/nowhere/qemu`, which steps are shown, as it is registered without the flag F",
        "linux/s390x, linux/arm/v7": "it is missing",
    }
    assert finding(report, "linux/s390x, linux/arm/v7").change == "install it"
