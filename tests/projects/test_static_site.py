"""What only the static site shows: unused stages never run, independent ones do not wait for each other."""

from __future__ import annotations

from tests.projects.project import Builds


def test_a_stage_that_nothing_reads_is_never_run(builds: Builds, user: str) -> None:
    log = builds("static-site", user).log
    assert "never-needed" not in log
    assert "no stage reads this one" not in log


def test_stages_that_do_not_depend_on_each_other_are_all_built(builds: Builds, user: str) -> None:
    built = builds("static-site", user)
    pages = built.run("sh", "-c", "cat assets/site.css index.tsv; ls *.html | wc -l").stdout
    assert "font-family: serif" in pages
    assert "Boats & how they are planked\tboats.html" in pages
    assert pages.endswith("3\n")
