"""Every case of fixtures/dockerfiles is built as root and without root, and must come out as described."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.building import Results
from tests.conformance.case import Case, all_cases
from tests.support.unprivileged import missing_for_rootless

USERS = ("root", "rootless")
QUICK_STEP = 5  # `make test` builds each fifth case, as root
JUDGES_STEP = 10  # each tenth result is read by skopeo and umoci too


def _parameters() -> Iterator[object]:
    for number, case in enumerate(all_cases()):
        for user in USERS:
            marks: list[pytest.MarkDecorator] = []
            if user != "root" or number % QUICK_STEP:
                marks.append(pytest.mark.conformance)
            yield pytest.param(
                case, user, number % JUDGES_STEP == 0, id=f"{case.name}-{user}", marks=marks
            )


@pytest.mark.parametrize(("case", "user", "judges"), list(_parameters()))
def test_case_comes_out_as_described(case: Case, user: str, judges: bool, results: Results) -> None:
    if (user, case.name) not in results:
        pytest.skip(missing_for_rootless() or "running as root needs root")
    differences = results[user, case.name].result()
    assert not differences, "\n".join((case.why, *differences))
