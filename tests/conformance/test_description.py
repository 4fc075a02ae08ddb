"""The cases are well described: each names its source and feature, none repeats another, all features have one."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.conformance import page
from tests.conformance.case import CASES, Case, all_cases, features

MINIMUM = 400


def test_there_are_enough_cases() -> None:
    assert len(all_cases()) >= MINIMUM


@pytest.mark.parametrize("folder", sorted(CASES.iterdir()), ids=lambda folder: str(folder.name))
def test_every_folder_is_a_case(folder: object) -> None:
    assert CASES.joinpath(str(folder), "expect.toml").is_file()
    assert CASES.joinpath(str(folder), "Dockerfile").is_file()


def test_every_case_says_why_and_where_from() -> None:
    known = {feature.id for feature in features()}
    for case in all_cases():
        assert case.why.endswith("."), f"{case.name}: `why` is a sentence"
        assert case.source, case.name
        assert case.feature in known, f"{case.name}: there is no feature `{case.feature}`"
        assert case.fails or "layers" in case.expected, f"{case.name} expects nothing"
        if case.fails:
            assert case.expected["error"].get("words") or case.expected["error"].get("line"), (
                case.name
            )


def test_no_two_cases_are_the_same() -> None:
    seen: dict[str, str] = {}
    for case in all_cases():
        identity = _identity(case)
        assert identity not in seen, f"{case.name} is {seen[identity]} again"
        seen[identity] = case.name


def _identity(case: Case) -> str:
    digest = hashlib.sha256(json.dumps([case.build, case.setup], sort_keys=True).encode())
    for path in sorted(case.folder.rglob("*")):
        if path.name == "expect.toml":
            continue
        digest.update(f"{path.relative_to(case.folder)}\0".encode())
        if path.is_symlink():
            digest.update(str(path.readlink()).encode())
        elif path.is_file():
            digest.update(path.read_bytes())
    digest.update(json.dumps(case.expected.get("again", [])).encode())
    return digest.hexdigest() + str("history" in case.expected)


def test_every_feature_has_a_case() -> None:
    shown = {case.feature for case in all_cases()}
    lacking = [row.id for row in features() if row.id not in shown and row.without_case is None]
    assert not lacking


def test_the_page_is_current() -> None:
    assert page.PAGE.read_text() == page.text(), "run `python -m tests.conformance.page`"
