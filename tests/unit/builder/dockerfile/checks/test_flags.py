"""FlagWithoutEffect: flags of ADD that are for other sources than its own."""

from __future__ import annotations

import pytest

from tests.unit.builder.dockerfile.checks.checking import check

FILE, GIT = "https://h.example/f", "https://h.example/a.git"


def told(instruction: str) -> list[str]:
    found = check(f"FROM base\nARG URL={FILE}\n{instruction}")
    return [each.message.split()[0] for each in found if each.code == "FlagWithoutEffect"]


@pytest.mark.parametrize(
    ("instruction", "flags"),
    [
        (f"ADD --keep-git-dir {FILE} /", ["`--keep-git-dir`"]),
        (f"ADD --exclude=f --exclude=g {FILE} /", ["`--exclude`", "`--exclude`"]),
        ("ADD --keep-git-dir=true --exclude=f $URL /", ["`--keep-git-dir`", "`--exclude`"]),
        ("ADD --keep-git-dir --exclude=f local /", ["`--keep-git-dir`"]),
        (f"ADD --keep-git-dir --exclude=f {FILE} local /", ["`--keep-git-dir`"]),
        (f"ADD --keep-git-dir --exclude=f {FILE} {GIT} /", []),
        (f"ADD --exclude=f {FILE} local /", []),
        (f"ADD --unpack {FILE} /", []),
    ],
)
def test_flags_are_told_that_are_for_no_source_of_their_instruction(
    instruction: str, flags: list[str]
) -> None:
    assert told(instruction) == flags


def test_a_comment_above_the_instruction_silences_it() -> None:
    assert told(f"# check=skip=FlagWithoutEffect\nADD --exclude=f {FILE} /") == []
