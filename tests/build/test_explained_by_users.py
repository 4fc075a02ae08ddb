"""What the cache tells a user, as root and without: reasons, differences, steps run again, noise."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.product import Product

DOCKERFILE = """FROM box
COPY src /app/
RUN mkdir -p /var/log; head -c 9 /dev/urandom > /var/log/dpkg.log; chown 5:6 /var/log/dpkg.log
RUN cat /app/a > /b
"""


def project(place: Path) -> Path:
    (place / "src").mkdir()
    (place / "src/a").write_text("a")
    (place / "Dockerfile").write_text(DOCKERFILE)
    return place


def test_a_user_sees_why_and_what_is_different(product: Product, ours: Path) -> None:
    product.build(project(ours))
    (ours / "src/a").write_text("changed")
    shown = product.build(ours).stderr
    assert "not cached: 1 file changed: src/a\n" in shown
    assert "not cached: a step before it made other files: COPY src /app/\n" in shown
    whole = product.run("why", "2").stdout
    assert "    src/a  (content)\n" in whole
    [copy, _, _] = product.run("why", "--json").stdout.splitlines()
    assert json.loads(copy)["differences"][0]["total"] == 1


def test_a_user_sees_which_cached_steps_come_to_something_else(
    product: Product, ours: Path
) -> None:
    product.build(project(ours))
    shown = product.build(ours, "--verify-cache").stderr
    assert "= note: /var/log/dpkg.log: content\n" in shown
    assert shown.count("verified: the same as in the cache") == 2


def test_a_user_has_noise_passed_over(product: Product, ours: Path) -> None:
    product.build(project(ours))
    flags = ("--no-cache-filter", "3", "--cache-normalize=all")
    shown = product.build(ours, *flags).stderr
    assert "ignored: /var/log/dpkg.log (logs)\n" in shown
    assert "same result as before, what follows stays cached\n" in shown
