from __future__ import annotations

from typing import Any

import pytest

from builder.containers.process import DEFAULT_PATH, Overrides, process_of
from builder.errors import ContainerError, UsageError
from builder.oci.config import ContainerConfig
from runtime.spec import Process

IMAGE = ContainerConfig(
    entrypoint=("/entry", "--flag"),
    cmd=("serve",),
    env=("PATH=/opt/bin", "MODE=image"),
    user="ann",
    working_dir="/srv",
)


def made(config: ContainerConfig = IMAGE, **overrides: Any) -> Process:
    return process_of(config, Overrides(**overrides), "0123456789ab")


def test_the_image_decides_what_is_not_asked_for() -> None:
    process = made()
    assert process.argv == ("/entry", "--flag", "serve")
    assert (process.user, process.cwd) == ("ann", "/srv")


@pytest.mark.parametrize(
    ("overrides", "argv"),
    [
        ({"argv": ("migrate", "-v")}, ("/entry", "--flag", "migrate", "-v")),
        ({"entrypoint": "sh"}, ("sh",)),
        ({"entrypoint": "sh", "argv": ("-c", "true")}, ("sh", "-c", "true")),
        ({"entrypoint": "", "argv": ("ls",)}, ("ls",)),
    ],
)
def test_an_entry_point_given_takes_the_images_arguments_away(
    overrides: dict[str, Any], argv: tuple[str, ...]
) -> None:
    assert made(**overrides).argv == argv


@pytest.mark.parametrize(
    ("config", "overrides"), [(ContainerConfig(), {}), (IMAGE, {"entrypoint": ""})]
)
def test_no_command_at_all_is_refused(config: ContainerConfig, overrides: dict[str, Any]) -> None:
    with pytest.raises(ContainerError, match="no command") as caught:
        made(config, **overrides)
    assert caught.value.exit_code == 125


def test_variables_of_the_caller_go_before_those_of_the_image() -> None:
    env = made(env=("MODE=caller", "EMPTY=", "TWO=a=b")).env
    assert env == ("PATH=/opt/bin", "HOSTNAME=0123456789ab", "MODE=caller", "EMPTY=", "TWO=a=b")


def test_an_image_without_path_gets_the_usual_one() -> None:
    assert made(ContainerConfig(cmd=("true",))).env[0] == DEFAULT_PATH


def test_a_terminal_is_named_in_the_environment_unless_somebody_did() -> None:
    assert "TERM=xterm" in made(terminal=True).env
    assert "TERM=dumb" in made(terminal=True, env=("TERM=dumb",)).env
    assert not any(item.startswith("TERM=") for item in made().env)


def test_the_caller_chooses_user_and_directory() -> None:
    process = made(user="0:0", workdir="/tmp")
    assert (process.user, process.cwd) == ("0:0", "/tmp")


@pytest.mark.parametrize(("said", "used"), [("", "/"), ("src", "/src"), ("//a", "/a")])
def test_the_directory_of_an_image_is_below_the_root(said: str, used: str) -> None:
    assert made(ContainerConfig(cmd=("true",), working_dir=said)).cwd == used


def test_a_relative_directory_is_refused() -> None:
    with pytest.raises(UsageError, match="`src` is not an absolute path"):
        made(workdir="src")
