"""HTTPS from inside RUN behind certificates of one's own, with the programs that people use, on a real distribution."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest

from builder.engine.requests import BuildRequest, Output
from builder.layer.certificates import read_certificates
from tests.build.workshop import Watch, workshop_in
from tests.support.certificates import der, make_authority
from tests.support.debian_base import debian_base

pytestmark = [pytest.mark.needs_network, pytest.mark.slow]

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
DOCKERFILE = """FROM bookworm AS bare
RUN python3 -m venv /venv && /venv/bin/pip install -q --no-cache-dir six
FROM bookworm
RUN apt-get update -q && apt-get install -q -y --no-install-recommends ca-certificates curl wget >/dev/null \
 && curl -sS -o /dev/null -w 'curl %{http_code}\\n' https://pypi.org/simple/six/ \
 && wget -q -O /dev/null https://pypi.org/simple/six/ && echo wget \
 && python3 -c "import urllib.request as u; print('python', u.urlopen('https://pypi.org/simple/six/').status)"
RUN update-ca-certificates --fresh >/dev/null 2>&1 && curl -sS -o /dev/null https://pypi.org/simple/six/ && echo again
COPY --from=bare /venv /venv
RUN /venv/bin/pip install -q --no-cache-dir idna
"""


def _bundle_of_the_host() -> str:
    found = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    for path in (found, BUNDLE):
        if path and os.path.isfile(path):
            return path
    pytest.skip("this host has no bundle of certificates")


def test_https_works_in_steps_and_the_image_is_as_without_it(tmp_path: Path) -> None:
    authority = make_authority(tmp_path, "company")
    ground, context = tmp_path / "ground", tmp_path / "context"
    ground.mkdir()
    context.mkdir()
    trusted = (str(authority), _bundle_of_the_host())
    with workshop_in(ground, ca_certs=trusted) as shop:
        with debian_base().open("rb") as archive:
            shop.engine.import_(archive, "bookworm")
        (context / "Dockerfile").write_text(DOCKERFILE)
        watch = Watch()
        output = Output(type="local", dest=str(tmp_path / "out"))
        shop.engine.build(BuildRequest(context=str(context), outputs=(output,)), watch)
    said = watch.output().splitlines()
    for line in ("curl 200", "wget", "python 200", "again"):
        assert line in said
    assert list((tmp_path / "out").rglob("*lapstrake*")) == []
    assert der(authority) not in read_certificates((tmp_path / f"out{BUNDLE}").read_bytes())
    names = os.listdir(tmp_path / "out/etc/ssl/certs")
    of_packages = [name for name in names if name.endswith(".pem")]
    # Each has the link by which OpenSSL finds it.
    assert len([name for name in names if name[-2:] in {".0", ".1"}]) == len(of_packages) > 100
