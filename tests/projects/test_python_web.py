"""The web service answers over http while `lapstrake run` is in the foreground."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import time

import pytest

from tests.projects.project import Builds
from tests.support.docker_registry import free_port, wait_for_answer

pytestmark = pytest.mark.needs_network


def test_it_answers_over_http_as_the_user_of_the_image(builds: Builds, user: str) -> None:
    service = builds("python-web", user)
    port = free_port()
    command = service.product.command(
        "run", "--rm", "--network", "host", "-e", f"PORT={port}", service.name
    )
    person = service.product.person
    given = {} if person.is_me else {"user": person.uid, "group": person.gid, "extra_groups": ()}
    process = subprocess.Popen(
        command,
        cwd="/",
        env=person.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **given,
    )
    try:
        wait_for_answer(port, "/", process=process)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/")
        about = json.loads(connection.getresponse().read())
        connection.request("POST", "/words", body=b"row row row your boat")
        words = json.loads(connection.getresponse().read())
        connection.close()
    finally:
        # Its command has no handler, so pid 1 ignores what is passed on; the third time ends it all the same.
        for _ in range(3):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
        output, _ = process.communicate(timeout=20)
    assert about == {"service": "words", "uid": 1000, "gid": 1000, "directory": "/app"}
    assert words == [["row", 3], ["your", 1], ["boat", 1]], output
    assert process.returncode == 143  # 128 + SIGTERM, as with Docker
