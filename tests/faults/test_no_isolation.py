"""A host that allows no walls: the switch is named, and nothing is built without them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.ground import Setting, litter, nothing_left, write_context
from tests.support.product import Product, report
from tests.support.unprivileged import missing_for_rootless


@pytest.fixture
def rootless(products: dict[str, Product], context: Path) -> Iterator[Setting]:
    """Return the product of the unprivileged user, with a store that does not exist yet."""
    if os.geteuid() != 0:
        pytest.skip("taking things away from a user needs root")
    if "rootless" not in products:
        pytest.skip(missing_for_rootless() or "")
    place = products["rootless"]
    product = Product(place.programs, place.root / f"store-{os.urandom(4).hex()}", place.person)
    setting = Setting(product, context, product.root.with_name("none.archive"))
    yield setting
    if setting.root.exists():
        setting.forget()


def after(
    setting: Setting, script: str, *words: str | Path, isolation: str = "rootless"
) -> subprocess.CompletedProcess[str]:
    """Run a command after a shell script of root's in a mount namespace."""
    person = setting.product.person
    become = f"setpriv --reuid={person.uid} --regid={person.gid} --clear-groups --"
    command = setting.product.command(*words)
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'set -e; {script}; exec {become} "$@"', "-", *command],
        capture_output=True,
        text=True,
        env=person.environment({"LAPSTRAKE_ISOLATION": isolation}),
        cwd="/",
        timeout=60,
    )


def refused_after(setting: Setting, script: str, *words: str | Path) -> str:
    """Build after a shell script of root's in a mount namespace; return the diagnostic."""
    done = after(setting, script, *(words or ("build", setting.context)))
    assert done.returncode == 125, report(done)
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error[") == 1, report(done)
    assert "error[build.no-isolation]" in done.stderr, report(done)
    nothing_left(setting.root)
    return done.stderr


@pytest.mark.parametrize("name", ["newuidmap", "newgidmap"])
def test_missing_program_is_named_with_its_package(rootless: Setting, name: str) -> None:
    script = f'for p in $(which -a {name}); do mount --bind /dev/null "$p"; done'
    said = refused_after(rootless, script)
    assert f"`{name}` is missing" in said
    assert "uidmap" in said.partition("= hint: ")[2]


@pytest.mark.parametrize("kind", ["uid", "gid"])
def test_missing_line_is_named_with_the_command_that_adds_it(rootless: Setting, kind: str) -> None:
    said = refused_after(rootless, f"mount --bind /dev/null /etc/sub{kind}")
    assert f"/etc/sub{kind}" in said
    assert f"usermod --add-sub{kind}s" in said.partition("= hint: ")[2]


def test_program_that_lost_its_rights_is_named(rootless: Setting) -> None:
    script = (
        "cp /usr/bin/newuidmap /tmp/x.$$; mount --bind /tmp/x.$$ $(which newuidmap); rm /tmp/x.$$"
    )
    said = refused_after(rootless, script)
    assert "newuidmap" in said
    assert "set-id" in said.partition("= hint: ")[2]


@pytest.mark.parametrize(
    "script",
    [
        "mount --bind /dev/null /etc/subuid",
        "cp /usr/bin/newuidmap /tmp/x.$$; mount --bind /tmp/x.$$ $(which newuidmap); rm /tmp/x.$$",
    ],
)
def test_without_subordinate_ids_a_build_has_one_id_and_says_so(
    rootless: Setting, script: str
) -> None:
    done = after(rootless, script, "build", rootless.context, isolation="auto")
    assert done.returncode == 0, report(done)
    assert done.stderr.count("warning[") == 1, report(done)
    assert "single-id" in done.stderr
    assert "usermod --add-subuids" in done.stderr or "set-id root" in done.stderr


def test_limit_of_user_namespaces_is_named(rootless: Setting) -> None:
    # The limit of a user namespace counts for those below it.
    person = rootless.product.person
    command = rootless.product.command("build", rootless.context)
    become = f"setpriv --reuid={person.uid} --regid={person.gid} --clear-groups --"
    script = f'echo 0 > /proc/sys/user/max_user_namespaces && exec {become} "$@"'
    with subprocess.Popen(
        ["unshare", "--user", "sh", "-c", "echo up; read x"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "up\n"
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{holder.pid}/{name}").write_text("0 0 65536")
        join = ["nsenter", f"--target={holder.pid}", "--user", "--setuid=0", "--setgid=0"]
        done = subprocess.run(
            [*join, "sh", "-c", script, "-", *command],
            capture_output=True,
            text=True,
            env=person.environment(),
            cwd="/",
            timeout=60,
        )
        holder.communicate("\n")
    assert done.returncode == 125, report(done)
    assert done.stderr.count("error[build.no-isolation]") == done.stderr.count("error[") == 1
    assert "max_user_namespaces" in done.stderr.partition("= hint: ")[2]


def test_copy_alone_needs_walls_too_and_lists_do_not(rootless: Setting, base: str) -> None:
    context = rootless.root.with_name(f"{rootless.root.name}.context")
    write_context(context, base, "FROM {base}\nCOPY a /a\n")
    refused_after(rootless, "mount --bind /dev/null /etc/subuid", "build", context)
    rootless.product.run("build", context)
    # What a killed command left cannot be swept without walls; that is no reason to refuse a list.
    left = f"active/{24 * '0'}"
    (rootless.root / left).mkdir()
    person = rootless.product.person
    os.chown(rootless.root / left, person.uid, person.gid)
    done = after(rootless, "mount --bind /dev/null /etc/subuid", "images")
    assert done.returncode == 0, report(done)
    assert litter(rootless.root) == [left]
    rootless.product.run("images")
    assert litter(rootless.root) == []
