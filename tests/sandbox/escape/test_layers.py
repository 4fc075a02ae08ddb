"""What a step leaves in its layer, seen from the host."""

from __future__ import annotations

import os
from pathlib import Path

from tests.sandbox.escape.ground import Attack, refused


def test_a_step_sets_no_mark_that_a_stack_obeys(attack: Attack) -> None:
    ran = attack("xattrs", "/etc")
    assert refused(ran)
    names = os.listxattr(ran.upper / "etc")
    # A mark of a step's own is kept under another name, which only a stack in a stack would read.
    assert not {"user.overlay.redirect", "trusted.overlay.opaque"} & set(names)
    assert "user.overlay.opaque" not in names
    again = attack.run("cat /etc/passwd", lowers=(ran.upper, attack.image))
    assert "root" in again.out


def test_links_of_a_step_are_not_followed_by_the_next(attack: Attack, victim: Path) -> None:
    first = attack.run(f"rm -rf /etc; ln -s {victim} /etc; ln -s {victim}/below /tmp/x")
    assert first.code == 0
    second = attack.run(
        "/bin/rm",
        "-rf",
        "/etc/passwd",
        "/tmp/x/file",
        lowers=(first.upper, attack.image),
        user="0:0",
    )
    assert second.code == 0


def test_removing_everything_removes_nothing_outside(attack: Attack) -> None:
    ran = attack.run("/bin/busybox", "rm", "-rf", "/bin", "/etc", "/tmp", "/home", "/root")
    assert (attack.image / "bin/busybox").exists()
    assert ran.code == 0


def test_no_link_count_outside_changes(attack: Attack, tmp_path: Path) -> None:
    shared = attack.image / "bin/busybox"
    before = shared.stat().st_nlink
    ran = attack.run("ln /bin/busybox /bin/second && ln /etc/passwd /tmp/p && echo x >> /tmp/p")
    assert ran.code == 0
    assert shared.stat().st_nlink == before
    assert "x\n" not in (attack.image / "etc/passwd").read_text()[-3:]
