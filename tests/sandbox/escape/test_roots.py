"""Ways out of the root directory: links, chroot, the interpreter of the launcher, races."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from runtime.errors import SandboxError, SetupFailed, StartFailed
from runtime.spec import BindMount, IsolationName, TmpfsMount
from tests.sandbox.escape.ground import Attack, refused
from tests.sandbox.harness import walls
from tests.support.unprivileged import CHECKOUT


def test_a_second_root_does_not_lead_out(attack: Attack, victim: Path) -> None:
    assert refused(attack("chroot", str(victim)))


def test_no_way_up_leads_out(attack: Attack, victim: Path) -> None:
    assert refused(attack("up", str(victim)))
    assert refused(attack("up", str(victim), cwd="/../../../../" + "../" * 40))


@pytest.mark.parametrize("form", ["script", "argv", "link", "script of a script"])
def test_the_interpreter_of_the_launcher_is_not_reached(
    attack: Attack, tmp_path: Path, form: str
) -> None:
    """CVE-2019-5736: the image has whatever loader and libraries it likes; the file behind the link is the prize."""
    layer = tmp_path / "layer"
    (layer / "bin").mkdir(parents=True)
    (layer / "script").write_text(
        "#!/proc/self/exe\nimport os; print('reached', os.stat('/proc/self/exe'))\n"
    )
    (layer / "second").write_text("#!/script\n")
    (layer / "link").symlink_to("/proc/self/exe")
    for name in ("script", "second"):
        (layer / name).chmod(0o755)
    _add_interpreter(layer)
    command = {"script": "/script", "argv": "/proc/self/exe", "link": "/link"}.get(form, "/second")
    words = ("-c", "print('reached')") if form in {"argv", "link"} else ("x",)
    try:
        ran = attack.run(command, *words, lowers=(layer, attack.image))
    except StartFailed:
        return
    assert "reached" not in ran.out
    assert ran.code == 126


def _add_interpreter(layer: Path) -> None:
    """Give an image what the interpreter of these tests needs to start."""
    own = Path(f"/proc/{os.getpid()}/maps").read_text().split("\n")
    files = {line.split()[-1] for line in own if ".so" in line and "/lib" in line}
    for name in files | {"/lib64/ld-linux-x86-64.so.2"}:
        source = Path(name)
        if source.is_file() and (
            "/ld-linux" in name
            or "/libc." in name
            or "/libm." in name
            or "/libz." in name
            or "/libexpat" in name
        ):
            target = layer / name.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    library = Path(os.__file__).parent
    skipped = ("test", "site-packages", "dist-packages", "__pycache__", "idlelib", "ensurepip")
    shutil.copytree(
        library, layer / str(library).lstrip("/"), ignore=shutil.ignore_patterns(*skipped)
    )


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
@pytest.mark.parametrize("form", ["absolute", "relative", "dangling", "file"])
def test_kernel_file_systems_go_where_they_belong_or_nowhere(
    attack: Attack, tmp_path: Path, victim: Path, name: str, form: str
) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    place = layer / name
    match form:
        case "absolute":
            place.symlink_to(victim)
        case "relative":
            place.symlink_to("../" * 20 + str(victim).lstrip("/"))
        case "dangling":
            place.symlink_to("/nowhere")
        case _:
            place.write_text("")
    with pytest.raises(SetupFailed, match=f"/{name}"):
        attack.run("true", lowers=(layer, _without(attack.image, name, tmp_path)))


def _without(image: Path, name: str, tmp_path: Path) -> Path:
    copy = tmp_path / "image"
    shutil.copytree(image, copy, symlinks=True)
    (copy / name).rmdir()
    return copy


@pytest.mark.parametrize(
    "name", ["dev/null", "dev/pts", "dev/shm", "dev/tty", "dev/mqueue", "dev/fd"]
)
def test_links_in_the_images_devices_are_covered(
    attack: Attack, tmp_path: Path, victim: Path, name: str
) -> None:
    layer = tmp_path / "layer"
    (layer / name).parent.mkdir(parents=True)
    (layer / name).symlink_to(victim / "passwd")
    ran = attack.run(
        f"echo x > /dev/null; cat /{name} < /dev/null 2>/dev/null; mkdir -p /dev/shm",
        lowers=(layer, attack.image),
    )
    assert "evil" not in ran.out


@pytest.mark.parametrize("link", ["etc", "etc/resolv.conf"])
@pytest.mark.parametrize("form", ["absolute", "relative"])
def test_what_is_shown_stays_inside_whatever_links_there_are(
    attack: Attack, tmp_path: Path, victim: Path, link: str, form: str
) -> None:
    layer = tmp_path / "layer"
    (layer / link).parent.mkdir(parents=True)
    target = victim if link == "etc" else victim / "resolv.conf"
    (layer / link).symlink_to(str(target) if form == "absolute" else "../" * 20 + str(target)[1:])
    lowers = (layer, attack.image)
    ran = attack.run(
        "/bin/cat",
        "/etc/resolv.conf",
        lowers=lowers,
        files=(("/etc/resolv.conf", b"shown\n"),),
        user="0:0",
    )
    assert ran.out == "shown\n"


@pytest.mark.parametrize("target", ["/link/new", "/link", "/../..{}/below", "{}/below"])
def test_mounts_land_inside(attack: Attack, tmp_path: Path, victim: Path, target: str) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "link").symlink_to(victim)
    source = tmp_path / "source"
    source.mkdir()
    place = target.format(victim)
    ran = attack.run(
        f"touch {place}/made && ls {place}",
        lowers=(layer, attack.image),
        mounts=(BindMount(target=place, source=str(source)),),
    )
    assert (ran.code, ran.out) == (0, "made\n")
    assert [path.name for path in source.iterdir()] == ["made"]


@pytest.mark.parametrize("target", ["/proc", "/proc/self/fd", "/to-proc", "/dev", "/dev/../dev"])
def test_what_the_set_up_asks_the_kernel_is_not_answered_by_an_image(
    attack: Attack, tmp_path: Path, target: str
) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "to-proc").symlink_to("proc")
    with pytest.raises(SetupFailed, match="has its own"):
        attack.run(
            "true",
            lowers=(layer, attack.image),
            mounts=(BindMount(target=target, source=str(layer)),),
        )


@pytest.mark.parametrize(
    "change",
    [
        "touch {}/new",
        "echo x >> {}/passwd",
        "chmod 777 {}/program",
        "rm {}/link",
        "mv {}/fifo {}/f",
    ],
)
def test_what_is_shown_read_only_is_not_changed(attack: Attack, victim: Path, change: str) -> None:
    shown = (BindMount(target="/shown", source=str(victim), read_only=True),)
    ran = attack.run(change.format(*["/shown"] * 2), mounts=shown)
    assert ran.code != 0
    assert "Read-only" in ran.err


@pytest.mark.skipif(walls() is not IsolationName.ROOT, reason="optional: needs mounts of one's own")
def test_mounts_of_a_step_do_not_spread(image: Path, tmp_path: Path) -> None:
    shared = 'mount --make-rprivate / && mount --make-rshared / && exec "$@"'
    module = "tests.sandbox.escape.spread"
    ran = subprocess.run(
        [
            "unshare",
            "--mount",
            "sh",
            "-ec",
            shared,
            "-",
            sys.executable,
            "-m",
            module,
            image,
            tmp_path,
        ],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )
    assert ran.stderr == ""
    assert ran.stdout.split() == ["0", "0"]


@pytest.mark.parametrize("form", ["absolute", "relative", "of the directory"])
@pytest.mark.parametrize("user", ["evil", "evil:evil", "0:evil"])
def test_accounts_of_the_host_are_not_found(
    attack: Attack, tmp_path: Path, victim: Path, form: str, user: str
) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    if form == "of the directory":
        (layer / "etc").symlink_to(victim)
    else:
        (layer / "etc").mkdir()
        for name in ("passwd", "group"):
            way = str(victim / name)
            (layer / "etc" / name).symlink_to(way if form == "absolute" else "../" * 20 + way[1:])
    with pytest.raises(StartFailed):
        attack.run("true", lowers=(layer, attack.image), user=user)


def test_a_working_directory_is_made_inside(attack: Attack, tmp_path: Path, victim: Path) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "link").symlink_to(victim / "below")
    ran = attack.run("touch made; ls", lowers=(layer, attack.image), cwd="/link/new/er")
    assert (ran.code, ran.out) == (0, "made\n")


@pytest.mark.parametrize("swapped", ["etc", "place", "proc"])
def test_a_link_swapped_during_the_set_up_leads_nowhere(
    attack: Attack, tmp_path: Path, victim: Path, swapped: str
) -> None:
    layer = tmp_path / "layer"
    (layer / swapped).mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(victim)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            os.rename(layer / swapped, tmp_path / "away")
            os.rename(link, layer / swapped)
            os.rename(layer / swapped, link)
            os.rename(tmp_path / "away", layer / swapped)

    thread = threading.Thread(target=swap)
    thread.start()
    outputs = set()
    try:
        for _ in range(25):
            try:
                ran = attack.run(
                    "/bin/cat",
                    "/etc/resolv.conf",
                    lowers=(layer, attack.image),
                    files=(("/etc/resolv.conf", b"shown\n"),),
                    mounts=(TmpfsMount(target="/place/memory"),),
                    user="0:0",
                    cwd="/place",
                )
            except SandboxError:
                continue
            outputs.add(ran.out)
    finally:
        stop.set()
        thread.join()
    assert outputs <= {"shown\n", ""}


@pytest.mark.parametrize("kind", ["fifo", "endless link", "large", "directory", "socket"])
@pytest.mark.parametrize("name", ["passwd", "group"])
def test_account_files_that_are_none_end_at_once(
    attack: Attack, tmp_path: Path, kind: str, name: str
) -> None:
    layer = tmp_path / "layer"
    (layer / "etc").mkdir(parents=True)
    place = layer / "etc" / name
    match kind:
        case "fifo":
            os.mkfifo(place)
        case "endless link":
            place.symlink_to(name)
        case "large":
            with place.open("wb") as file:
                file.truncate(100 << 20)
        case "directory":
            place.mkdir()
        case _:
            os.mknod(place, 0o140644)
    with pytest.raises(StartFailed, match=f"/etc/{name}"):
        attack.run(
            "true", lowers=(layer, attack.image), user="ann" if name == "passwd" else "ann:staff"
        )
