"""What an image says of itself: configuration, history, times. Expectations were measured on BuildKit."""

from __future__ import annotations

import datetime
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.build.workshop import Workshop, workshop_in

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def config(workshop: Workshop, context: Path, dockerfile: str, **request: Any) -> dict[str, Any]:
    """Return the configuration that a Dockerfile gives."""
    return workshop.build(context, dockerfile, **request).image.config


def seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()


# Configuration


def test_scratch_has_the_default_path_and_nothing_else(workshop: Workshop, context: Path) -> None:
    image = workshop.build(context, "FROM scratch").image
    assert image.config == {"Env": [PATH], "WorkingDir": "/"}
    assert image.diff_ids == []
    assert image.document["os"] == "linux"


def test_each_instruction_sets_its_part(workshop: Workshop, context: Path) -> None:
    found = config(
        workshop,
        context,
        r"""
        FROM scratch
        ENV A=1 B="two words"
        ENV C=$A
        LABEL x=1 "y z"="a b" \
              multi=line
        EXPOSE 80 53/UDP 100-102
        VOLUME /data ["/more"]
        VOLUME ["/other"]
        USER ann:staff
        STOPSIGNAL SIGINT
        SHELL ["/bin/sh", "-ec"]
        ENTRYPOINT ["/entry", "$A"]
        CMD run $A
        """,
    )
    assert found == {
        "ArgsEscaped": True,
        "Cmd": ["/bin/sh", "-ec", "run $A"],
        "Entrypoint": ["/entry", "$A"],
        "Env": [PATH, "A=1", "B=two words", "C=1"],
        "ExposedPorts": {"100/tcp": {}, "101/tcp": {}, "102/tcp": {}, "53/udp": {}, "80/tcp": {}},
        "Labels": {"multi": "line", "x": "1", "y z": "a b"},
        "Shell": ["/bin/sh", "-ec"],
        "StopSignal": "SIGINT",
        "User": "ann:staff",
        "Volumes": {"/data": {}, "/other": {}, "[/more]": {}},
        "WorkingDir": "/",
    }


def test_a_base_passes_its_configuration_on(workshop: Workshop, context: Path) -> None:
    workshop.build(
        context, 'ENV A=1\nLABEL l=1\nEXPOSE 80\nUSER ann\nCMD ["c"]\nWORKDIR /w', tags=("parent",)
    )
    found = config(workshop, context, "FROM parent\nENV B=$A\nLABEL m=2\nEXPOSE 81")
    assert found["Env"][-2:] == ["A=1", "B=1"]
    assert found["Labels"] == {"l": "1", "m": "2"}
    assert set(found["ExposedPorts"]) == {"80/tcp", "81/tcp"}
    assert (found["User"], found["Cmd"], found["WorkingDir"]) == ("ann", ["c"], "/w")


@pytest.mark.parametrize("entrypoint", ['["e"]', "[]", "e"])
def test_an_entrypoint_clears_the_command_of_the_base_but_not_that_of_its_stage(
    workshop: Workshop, context: Path, entrypoint: str
) -> None:
    workshop.build(context, 'CMD ["of the base"]', tags=("commanded",))
    assert "Cmd" not in config(workshop, context, f"FROM commanded\nENTRYPOINT {entrypoint}")
    for order in (f'CMD ["c"]\nENTRYPOINT {entrypoint}', f'ENTRYPOINT {entrypoint}\nCMD ["c"]'):
        assert config(workshop, context, f"FROM commanded\n{order}")["Cmd"] == ["c"]


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('["x"] # comment', ["/bin/sh", "-c", '["x"] # comment']),
        ("['x']", ["/bin/sh", "-c", "['x']"]),
        ('["a", "$B"]', ["a", "$B"]),
        ("a $B", ["/bin/sh", "-c", "a $B"]),
    ],
)
def test_what_is_no_json_is_for_the_shell(
    workshop: Workshop, context: Path, text: str, command: list[str]
) -> None:
    assert config(workshop, context, f"ENV B=1\nCMD {text}")["Cmd"] == command


@pytest.mark.parametrize(
    ("given", "ports"),
    [
        ("80", ["80/tcp"]),
        ("80/TCP", ["80/tcp"]),
        ("127.0.0.1:80:81", ["81/tcp"]),
        ("$PORTS", ["1/tcp", "2/udp"]),
    ],
)
def test_ports_are_normalised(
    workshop: Workshop, context: Path, given: str, ports: list[str]
) -> None:
    found = config(workshop, context, f'ENV PORTS="1 2/udp"\nEXPOSE {given}')
    assert sorted(found["ExposedPorts"]) == ports


def test_working_directories_are_joined_and_made_for_the_user(
    workshop: Workshop, context: Path
) -> None:
    image = workshop.build(
        context,
        "WORKDIR /a\nWORKDIR b/\nUSER ann\nWORKDIR c\nUSER 5:6\nWORKDIR /d/e\nUSER 7\nWORKDIR ../f",
    ).image
    assert image.config["WorkingDir"] == "/d/f"
    owners = {path: image[path].access for path in ("a", "a/b", "a/b/c", "d", "d/e", "d/f")}
    assert owners == {
        "a": ("755", 0, 0),
        "a/b": ("755", 0, 0),
        "a/b/c": ("755", 1000, 1000),
        "d": ("755", 5, 6),
        "d/e": ("755", 5, 6),
        "d/f": ("755", 7, 7),
    }


def test_a_working_directory_counts_as_a_layer_unless_it_is_the_root(
    workshop: Workshop, context: Path
) -> None:
    base = len(workshop.build(context, "CMD x").image.layers)
    image = workshop.build(context, "WORKDIR /\nWORKDIR /tmp\nWORKDIR /new").image
    assert [sorted(layer) for layer in image.layers[base:]] == [[], ["new"]]


def test_a_working_directory_follows_links_in_the_image(workshop: Workshop, context: Path) -> None:
    image = workshop.build(context, "RUN ln -s /none/here /l\nWORKDIR /l/x\nWORKDIR /l").image
    assert image.config["WorkingDir"] == "/l"
    assert "none/here/x" in image


def test_a_volume_makes_nothing_and_keeps_later_changes(workshop: Workshop, context: Path) -> None:
    image = workshop.build(
        context, "VOLUME /v rel\nRUN test ! -e /v && mkdir /v && echo > /v/x"
    ).image
    assert "v/x" in image
    assert image.config["Volumes"] == {"/v": {}, "rel": {}}


def test_labels_of_the_request_go_before_those_of_the_dockerfile(
    workshop: Workshop, context: Path
) -> None:
    image = workshop.build(context, "LABEL a=1 b=2", labels=(("a", "$b"), ("c", "3"))).image
    assert image.config["Labels"] == {"a": "$b", "b": "2", "c": "3"}
    assert [line["created_by"] for line in image.document["history"][-1:]] == ["LABEL a=1 b=2"]


def test_all_pairs_of_a_line_see_the_values_from_before_it(
    workshop: Workshop, context: Path
) -> None:
    found = config(workshop, context, "ENV a=hello\nENV a=bye b=$a\nENV c=$a")
    assert found["Env"][1:] == ["a=bye", "b=hello", "c=bye"]


def test_maintainer_is_the_author(workshop: Workshop, context: Path) -> None:
    assert workshop.build(context, "MAINTAINER Ann").image.document["author"] == "Ann"


# History


def test_history_has_a_line_for_each_instruction_as_it_was_written(
    workshop: Workshop, context: Path
) -> None:
    (context / "a").write_text("x")
    image = workshop.build(
        context,
        """
        FROM scratch
        ARG V=1
        ENV A=$V
        COPY --chown=5 a /b
        WORKDIR /w
        WORKDIR x
        LABEL a=b
        USER 5
        EXPOSE 80
        VOLUME /v
        STOPSIGNAL 9
        ENTRYPOINT ["e"]
        CMD c d
        """,
    ).image
    lines = [
        (line["created_by"], line.get("empty_layer", False)) for line in image.document["history"]
    ]
    assert lines == [
        ("ARG V=1", True),
        ("ENV A=1", True),
        ("COPY --chown=5 a /b # buildkit", False),
        ("WORKDIR /w", False),
        ("WORKDIR /w/x", False),
        ("LABEL a=b", True),
        ("USER 5", True),
        ("EXPOSE [80/tcp]", True),
        ("VOLUME [/v]", True),
        ("STOPSIGNAL 9", True),
        ('ENTRYPOINT ["e"]', True),
        ('CMD ["/bin/sh" "-c" "c d"]', True),
    ]
    assert {line["comment"] for line in image.document["history"]} == {"buildkit.dockerfile.v0"}


def test_history_of_a_command_names_its_shell_and_arguments(
    workshop: Workshop, context: Path
) -> None:
    image = workshop.build(
        context, 'ARG V=1\nRUN echo $V\nRUN ["echo", "x"]\nSHELL ["/bin/sh", "-ec"]\nRUN true'
    ).image
    lines = [line["created_by"] for line in image.document["history"][-5:]]
    assert lines == [
        "ARG V=1",
        "RUN |1 V=1 /bin/sh -c echo $V # buildkit",
        "RUN |1 V=1 echo x # buildkit",
        "SHELL [/bin/sh -ec]",
        "RUN |1 V=1 /bin/sh -ec true # buildkit",
    ]


def test_there_is_a_layer_for_each_line_that_has_one(workshop: Workshop, context: Path) -> None:
    image = workshop.build(context, "RUN true\nLABEL a=b\nWORKDIR /w\nRUN echo > /x").image
    with_layer = [line for line in image.document["history"] if not line.get("empty_layer")]
    assert len(with_layer) == len(image.diff_ids) == len(image.layers)


# Times


def test_times_are_recorded_and_never_go_back(fresh: Workshop, context: Path) -> None:
    began = time.time()
    fresh.build(context, "RUN true")
    image = fresh.build(
        context, "USER ann\nRUN echo > /tmp/a\nUSER root\nRUN true\nLABEL a=b"
    ).image
    times = [seconds(line["created"]) for line in image.document["history"]]
    assert times == sorted(times)
    assert seconds(image.document["created"]) == times[-1]
    assert began - 60 < times[0] <= time.time()


def test_lines_before_the_first_layer_have_its_time(fresh: Workshop, context: Path) -> None:
    (context / "a").write_text("x")
    image = fresh.build(context, "FROM scratch\nLABEL a=b\nCOPY a /").image
    first, second = (line["created"] for line in image.document["history"])
    assert first == second == image.document["created"]


def test_an_image_with_another_configuration_alone_keeps_the_time_of_its_first_build(
    fresh: Workshop, context: Path
) -> None:
    base = fresh.build(context, "RUN echo 1 > /f", tags=("parent",)).image
    time.sleep(1.1)
    image = fresh.build(context, "FROM parent\nLABEL a=b").image
    assert image.document["created"] > base.document["created"]
    again = fresh.build(context, "FROM parent\nLABEL a=b").image
    assert again.document["created"] == image.document["created"]


def test_the_source_date_is_the_time_of_the_image(tmp_path: Path, context: Path) -> None:
    with workshop_in(tmp_path, source_date_epoch="981158400") as shop:
        image = shop.build(context, "RUN echo 1 > /f").image
    assert image.document["created"] == "2001-02-03T00:00:00Z"


def test_the_document_has_no_members_that_docker_does_not_know(
    workshop: Workshop, context: Path
) -> None:
    image = workshop.build(context, "RUN true")
    document = json.loads(image.image.config_bytes)
    assert set(document) == {"architecture", "config", "created", "history", "os", "rootfs"}
