"""Secrets and ssh agents: who sees them, and that nothing keeps them."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from builder.solve.given import AgentSource, SecretSource
from tests.build.workshop import Workshop

VALUE = "s3cr3t/värde+1"


@pytest.fixture
def token(tmp_path: Path) -> SecretSource:
    """A secret in a file."""
    path = tmp_path / "token-file"
    path.write_text(VALUE)
    return SecretSource(id="token", path=str(path))


def holds(root: Path, *needles: bytes) -> list[str]:
    """Return the files below a directory that hold one of some byte strings."""
    found = []
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if path.is_symlink() or not path.is_file():
                continue
            data = path.read_bytes()
            if any(needle in data for needle in needles):
                found.append(str(path))
    return found


def test_a_secret_is_a_file_that_only_its_owner_may_read(
    workshop: Workshop, context: Path, token: SecretSource
) -> None:
    built = workshop.build(
        context,
        """
        RUN --mount=type=secret,id=token wc -c </run/secrets/token && stat -c %a:%u:%g /run/secrets/token
        RUN --mount=type=secret,id=token,target=/etc/t,uid=1000,gid=50,mode=0440 stat -c %a:%u:%g /etc/t
        RUN --mount=type=secret,src=token,dst=place/t wc -c </place/t
        RUN --mount=type=secret,target=/here/token wc -c </here/token
        RUN ls /run /place /here 2>&1 || true
        """,
        secrets=(token,),
    )
    size = str(len(VALUE.encode()))
    said = built.watch.output().splitlines()
    assert said[:5] == [size, "400:0:0", "440:1000:50", size, size]
    assert all("No such file" in line for line in said[5:])
    assert set(built.image.layers[-1]) == set()


def test_a_secret_may_be_a_variable_or_both(
    workshop: Workshop, context: Path, token: SecretSource
) -> None:
    built = workshop.build(
        context,
        """
        RUN --mount=type=secret,id=token,env=TOKEN [ ${#TOKEN} -gt 5 ] && ! [ -e /run/secrets/token ] && echo alone
        RUN --mount=type=secret,id=token,env=TOKEN,target=/t [ "$TOKEN" = "$(cat /t)" ] && echo both
        """,
        secrets=(token,),
    )
    assert built.watch.output() == "alone\nboth\n"


def test_a_secret_that_was_not_given_is_left_out_unless_it_is_required(
    workshop: Workshop, context: Path, token: SecretSource
) -> None:
    built = workshop.build(
        context,
        "RUN --mount=type=secret,id=none --mount=type=secret,id=none,env=N ls /run/secrets 2>&1; echo =$N=",
    )
    assert built.watch.output().endswith("No such file or directory\n==\n")
    error = workshop.refused(
        context,
        "RUN --mount=type=secret,id=other,required cat /run/secrets/other",
        secrets=(token,),
    )
    assert error.code == "build.secret-missing"
    assert "`other`" in error.message
    assert error.notes == ("given were `token`",)
    assert "--secret id=other,src=FILE" in (error.hint or "")


@pytest.mark.parametrize(
    "command",
    [
        "cat /t",
        "base64 /t",
        '(printf "user:"; cat /t) | base64',
        'printf "%s" "$(cat /t)"; echo; echo "$(head -c 3 /t)$(tail -c +4 /t)" >&2',
        "head -c 4 /t; sleep 0.2; tail -c +5 /t",
    ],
)
def test_the_value_is_masked_in_the_output(
    workshop: Workshop, context: Path, token: SecretSource, command: str
) -> None:
    built = workshop.build(
        context,
        f"RUN --mount=type=secret,id=token,target=/t {command}; : {os.urandom(4).hex()}",
        secrets=(token,),
    )
    said = built.watch.output()
    assert "****" in said
    for form in (VALUE, base64.b64encode(VALUE.encode()).decode(), quote(VALUE, safe="")):
        assert form not in said


def test_the_value_is_masked_in_the_last_lines_of_a_step_that_fails(
    workshop: Workshop, context: Path, token: SecretSource
) -> None:
    error = workshop.refused(
        context,
        "RUN --mount=type=secret,id=token,target=/t echo the value is $(cat /t); exit 3",
        secrets=(token,),
    )
    assert error.code == "build.run-failed"
    assert "the value is ****" in error.notes[0]


@pytest.mark.parametrize(
    "leak",
    [
        "cp /t /kept",
        "mkdir /d && (head -c 70000 /dev/zero; cat /t; echo more) >/d/log",
        "base64 /t >/kept",
        '(printf "user:"; cat /t) | base64 >/kept',
        'ln -s "$(cat /t | tr / -)$(cat /t)" /kept',
        "touch /kept-$(base64 /t)",
    ],
)
def test_a_step_that_writes_the_value_into_the_image_fails_and_says_where(
    workshop: Workshop, context: Path, token: SecretSource, leak: str
) -> None:
    text = f"RUN --mount=type=secret,id=token,target=/t {leak}"
    error = workshop.refused(context, text, secrets=(token,))
    assert error.code == "build.secret-leaked"
    assert "/kept" in error.notes[0] or "/d/log" in error.notes[0]
    said = " ".join((error.message, *error.notes))
    assert VALUE not in said
    assert base64.b64encode(VALUE.encode()).decode() not in said
    assert workshop.leftovers() == []


def test_leaks_can_be_allowed(workshop: Workshop, context: Path, token: SecretSource) -> None:
    built = workshop.build(
        context,
        "RUN --mount=type=secret,id=token,target=/t cp /t /kept",
        secrets=(token,),
        allow=frozenset({"leaked-secrets"}),
    )
    assert "kept" in built.image.layers[-1]


def test_no_byte_of_a_secret_is_in_the_store_afterwards(
    fresh: Workshop, context: Path, token: SecretSource
) -> None:
    text = (
        "RUN --mount=type=secret,id=token,env=T --mount=type=secret,id=token"
        " echo $T; cat /run/secrets/token; {}"
    )
    for command in ("true", "cp /run/secrets/token /kept", "exit 1"):
        (context / "Dockerfile").write_text("FROM base\n" + text.format(command))
        if command == "true":
            fresh.build(context, secrets=(token,))
        else:
            fresh.refused(context, secrets=(token,))
    assert holds(fresh.root, VALUE.encode(), base64.b64encode(VALUE.encode())[:-4]) == []


def test_another_value_runs_nothing_again_unless_that_was_asked_for(
    fresh: Workshop, context: Path, token: SecretSource
) -> None:
    text = "RUN --mount=type=secret,id=token wc -c </run/secrets/token >/size"
    fresh.build(context, text, secrets=(token,))
    Path(token.path).write_text("another value")
    assert fresh.build(context, secrets=(token,)).executed == []
    keyed = SecretSource(id="token", path=token.path, keyed=True)
    assert len(fresh.build(context, secrets=(keyed,)).executed) == 1
    assert fresh.build(context, secrets=(keyed,)).executed == []
    Path(token.path).write_text("a third value")
    assert len(fresh.build(context, secrets=(keyed,)).executed) == 1
    assert holds(fresh.root, b"third value") == []


def test_a_value_that_no_variable_can_hold_is_refused_without_showing_it(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    path = tmp_path / "binary"
    path.write_bytes(b"\xffhidden\0")
    error = workshop.refused(
        context,
        "RUN --mount=type=secret,id=b,env=B true",
        secrets=(SecretSource(id="b", path=str(path)),),
    )
    assert error.code == "build.secret-unusable"
    assert "hidden" not in repr(error.diagnostic())


def test_a_binary_secret_is_a_file_like_any_other(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    path = tmp_path / "binary"
    path.write_bytes(bytes(range(256)) * 4)
    built = workshop.build(
        context,
        "RUN --mount=type=secret,id=b,required wc -c </run/secrets/b",
        secrets=(SecretSource(id="b", path=str(path)),),
    )
    assert built.watch.output() == "1024\n"


def test_progress_does_not_show_a_variable_that_holds_a_secret(
    workshop: Workshop, context: Path, token: SecretSource
) -> None:
    built = workshop.build(
        context,
        'ENV T=public\nRUN --mount=type=secret,id=token,env=T [ -n "$T" ]',
        secrets=(token,),
    )
    [name] = [each for each in built.executed if "RUN" in each]
    assert name.endswith('[ -n "****" ]')


# Agents


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key without a passphrase."""
    path = tmp_path / "key"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "the key", "-f", path], check=True
    )
    return path


@pytest.fixture
def agent(key: Path, tmp_path: Path) -> Iterator[str]:
    """The socket of an agent that has the key."""
    path = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL) as running:
        while not path.exists():
            assert running.poll() is None
        environment = {**os.environ, "SSH_AUTH_SOCK": str(path)}
        subprocess.run(["ssh-add", "-q", key], env=environment, check=True)
        yield str(path)
        running.terminate()


def ask(path: str, request: bytes) -> bytes:
    """Return what an agent answers (draft-miller-ssh-agent, 5.1)."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(path)
        asking.sendall(len(request).to_bytes(4, "big") + request)
        return asking.recv(1 << 16)


def test_a_step_finds_the_socket_of_its_agent(
    workshop: Workshop, context: Path, agent: str
) -> None:
    built = workshop.build(
        context,
        """
        RUN --mount=type=ssh echo $SSH_AUTH_SOCK && stat -c %F:%a:%u $SSH_AUTH_SOCK
        RUN --mount=type=ssh,id=two,target=/run/two,uid=1000,mode=0666 stat -c %a:%u $SSH_AUTH_SOCK
        RUN --mount=type=ssh --mount=type=ssh,id=two ls /run/buildkit
        RUN ls /run/buildkit 2>&1; echo =$SSH_AUTH_SOCK=
        """,
        agents=(AgentSource(id="default", paths=(agent,)), AgentSource(id="two", paths=(agent,))),
    )
    assert built.watch.output().splitlines() == [
        "/run/buildkit/ssh_agent.0",
        "socket:600:0",
        "666:1000",
        "ssh_agent.0",
        "ssh_agent.1",
        "ls: /run/buildkit: No such file or directory",
        "==",
    ]
    assert set(built.image.layers[-1]) == set()
    assert workshop.leftovers() == []


def test_an_agent_is_left_out_unless_it_is_required(workshop: Workshop, context: Path) -> None:
    built = workshop.build(context, "RUN --mount=type=ssh echo =$SSH_AUTH_SOCK=")
    assert built.watch.output() == "=/run/buildkit/ssh_agent.0=\n"
    error = workshop.refused(context, "RUN --mount=type=ssh,required true")
    assert error.code == "build.secret-missing"
    assert "--ssh default" in (error.hint or "")


def test_an_agent_signs_and_is_not_changed(agent: str, tmp_path: Path) -> None:
    from builder.solve.agents import Agents

    (tmp_path / "step").mkdir()
    agents = Agents((AgentSource(id="default", paths=(agent,)),), str(tmp_path))
    with agents.forwarded("default", str(tmp_path / "step")) as path:
        listed = ask(path, b"\x0b")
        assert listed[4] == 12
        assert b"the key" in listed
        for request in (b"\x13", b"\x11", b"\x12" + b"\0" * 4, b"\x16" + b"\0\0\0\1x", b"\x01"):
            assert ask(path, request) == b"\0\0\0\1\5"
        assert ask(path, b"\x0b") == listed
    assert not os.path.exists(path)


def agents() -> set[str]:
    """Return the agents that were started for key files, by whomever."""
    found = subprocess.run(["pgrep", "-fx", "ssh-agent -a own.*"], capture_output=True, text=True)
    return set(found.stdout.split())


def test_keys_in_files_get_an_agent_that_ends_with_the_build(
    workshop: Workshop, context: Path, key: Path
) -> None:
    before = agents()
    built = workshop.build(
        context,
        "RUN --mount=type=ssh,required stat -c %F $SSH_AUTH_SOCK",
        agents=(AgentSource(id="default", paths=(str(key),)),),
    )
    assert built.watch.output() == "socket\n"
    assert workshop.leftovers() == []
    for _ in range(100):
        if not agents() - before:
            return
        time.sleep(0.05)
    raise AssertionError(f"{agents() - before} are left")


def test_a_file_that_is_no_key_is_refused(
    workshop: Workshop, context: Path, tmp_path: Path
) -> None:
    (tmp_path / "no-key").write_text("nothing of the kind")
    error = workshop.refused(
        context,
        "RUN --mount=type=ssh true",
        agents=(AgentSource(id="default", paths=(str(tmp_path / "no-key"),)),),
    )
    assert error.code == "usage"
    assert "no private key" in error.message
