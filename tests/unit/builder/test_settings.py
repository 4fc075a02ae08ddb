from __future__ import annotations

import pytest

from builder.errors import UsageError
from builder.settings import current, isolation_name, progress_mode, read
from runtime.spec import IsolationName


def test_store_of_root_is_a_system_directory() -> None:
    assert read({}, 0, "/root").root == "/var/lib/lapstrake"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "/home/u/.local/share/lapstrake"),
        ({"XDG_DATA_HOME": "/data"}, "/data/lapstrake"),
        ({"XDG_DATA_HOME": "relative"}, "/home/u/.local/share/lapstrake"),
        ({"XDG_DATA_HOME": ""}, "/home/u/.local/share/lapstrake"),
        ({"XDG_DATA_HOME": "/data", "LAPSTRAKE_ROOT": "/store"}, "/store"),
    ],
)
def test_store_of_a_user_is_in_the_data_directory(environ: dict[str, str], expected: str) -> None:
    assert read(environ, 1000, "/home/u").root == expected


def test_root_flag_goes_before_the_variable() -> None:
    assert read({"LAPSTRAKE_ROOT": "/store"}, 0, "/root", root="/flag").root == "/flag"


def test_root_is_made_absolute_so_that_a_later_chdir_does_not_move_it(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    assert read({}, 0, "/root", root="store").root == f"{tmp_path}/store"


def test_docker_config_directory() -> None:
    assert read({}, 0, "/root").docker_config == "/root/.docker"
    assert read({"DOCKER_CONFIG": "/cfg"}, 0, "/root").docker_config == "/cfg"


def test_first_certificate_bundle_wins() -> None:
    both = {"SSL_CERT_FILE": "/ssl.pem", "REQUESTS_CA_BUNDLE": "/requests.pem"}
    assert read(both, 0, "/root").ca_bundle == "/requests.pem"
    assert read({"SSL_CERT_FILE": "/ssl.pem"}, 0, "/root").ca_bundle == "/ssl.pem"
    assert read({"SSL_CERT_FILE": ""}, 0, "/root").ca_bundle is None


def test_proxies_keep_their_spelling() -> None:
    settings = read(
        {"http_proxy": "http://a", "HTTPS_PROXY": "http://b", "no_proxy": "", "PROXY": "x"}, 0, "/"
    )
    assert settings.proxies == (("http_proxy", "http://a"), ("HTTPS_PROXY", "http://b"))


def test_any_value_of_no_color_but_the_empty_one_counts() -> None:
    assert read({"NO_COLOR": "0"}, 0, "/").no_color
    assert not read({"NO_COLOR": ""}, 0, "/").no_color


@pytest.mark.parametrize("text", ["1700000000", "context"])
def test_source_date_epoch_is_passed_on_as_it_is(text: str) -> None:
    assert read({"SOURCE_DATE_EPOCH": text}, 0, "/").source_date_epoch == text
    assert read({"SOURCE_DATE_EPOCH": ""}, 0, "/").source_date_epoch is None


def test_isolation_is_one_of_the_walls() -> None:
    assert read({}, 0, "/").isolation is IsolationName.AUTO
    assert read({"LAPSTRAKE_ISOLATION": "rootless"}, 0, "/").isolation is IsolationName.ROOTLESS
    assert isolation_name("default", "--isolation") is IsolationName.AUTO
    with pytest.raises(UsageError, match=r"`hyperv` in \$LAPSTRAKE_ISOLATION") as caught:
        read({"LAPSTRAKE_ISOLATION": "hyperv"}, 0, "/")
    assert caught.value.hint is not None
    assert "rootless" in caught.value.hint


def test_progress_modes_are_those_of_docker() -> None:
    assert read({"BUILDKIT_PROGRESS": "plain"}, 0, "/").progress == "plain"
    assert progress_mode("none", "--progress") == "quiet"
    with pytest.raises(UsageError, match="--progress"):
        progress_mode("fancy", "--progress")


def test_current_reads_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPSTRAKE_ROOT", "/somewhere")
    monkeypatch.setenv("LAPSTRAKE_DEBUG", "1")
    assert current().root == "/somewhere"
    assert current(root="/else").root == "/else"
    assert current().debug


def test_the_largest_size_comes_from_files_and_before_them_from_the_variable() -> None:
    machine = ("/etc/lapstrake/config.toml", 'max-size = "10g"\n')
    own = ("/home/u/.config/lapstrake/config.toml", 'max-size = "1g"\n')
    empty = ("/home/u/.config/lapstrake/config.toml", "# nothing\n")
    assert read({}, 0, "/root").max_size is None
    assert read({}, 0, "/root", files=(machine,)).max_size == 10 << 30
    assert read({}, 0, "/root", files=(machine, own)).max_size == 1 << 30
    assert read({}, 0, "/root", files=(machine, empty)).max_size == 10 << 30
    variable = {"LAPSTRAKE_MAX_SIZE": "512m"}
    assert read(variable, 0, "/root", files=(machine, own)).max_size == 512 << 20


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max-size = 5\n", "not understood"),
        ('max-size = "big"\n', "`big` in `max-size in /c.toml` is not a size"),
        ('max_size = "5g"\n', "not understood"),
        ('maximum = "5g"\n', "not understood"),
        ("max-size", "not understood"),
    ],
)
def test_settings_that_are_not_understood_are_refused_with_their_file(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read({}, 0, "/root", files=(("/c.toml", text),))
    assert said in caught.value.message
    assert "/c.toml" in caught.value.message


def test_failed_steps_are_kept_where_the_environment_says_so() -> None:
    assert read({"LAPSTRAKE_KEEP_FAILED": "1"}, 0, "/").keep_failed
    assert not read({"LAPSTRAKE_KEEP_FAILED": "0"}, 0, "/").keep_failed
    assert not read({}, 0, "/").keep_failed


def test_insecure_registries_come_from_the_environment_and_from_files() -> None:
    files = (("/etc/lapstrake/config.toml", 'insecure-registries = ["lab.example:5000"]'),)
    environ = {"LAPSTRAKE_INSECURE_REGISTRIES": "a.example, B.example:80"}
    found = read(environ, 0, "/root", files=files).insecure_registries
    assert found == ("a.example", "b.example:80", "lab.example:5000")


@pytest.mark.parametrize("text", ["http://a.example", "a.example/x", "ada:pw@a.example"])
def test_an_insecure_registry_is_a_host(text: str) -> None:
    with pytest.raises(UsageError, match="is not a registry's host") as caught:
        read({"LAPSTRAKE_INSECURE_REGISTRIES": text}, 0, "/root")
    assert "pw" not in caught.value.message
