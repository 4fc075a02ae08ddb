"""What each rule finds, and where. Expectations are what BuildKit 73ed682 reports for the same file."""

from __future__ import annotations

import pytest

from tests.unit.builder.dockerfile.checks.checking import check, found, image, rules

BODY = "FROM scratch\n"


class TestNames:
    def test_stage_names_and_the_case_of_as(self) -> None:
        text = "FROM scratch AS Foo\nFROM scratch as b\nfrom scratch AS c\nFrom scratch aS d\n"
        assert [each for each in found(text) if not each.startswith("Consistent")] == [
            "StageNameCasing: Foo",
            "FromAsCasing: as",
            "FromAsCasing: AS",
        ]

    def test_the_case_of_the_majority_counts_and_global_arguments_do_not(self) -> None:
        text = "arg X=1\nfrom scratch\ncopy a b\nCoPy a b\nCOPY a b\n"
        assert found(text) == [
            "ConsistentInstructionCasing: CoPy",
            "ConsistentInstructionCasing: COPY",
        ]

    def test_upper_case_counts_where_there_is_no_majority(self) -> None:
        assert found("from scratch\nCOPY a b\n") == ["ConsistentInstructionCasing: from"]

    def test_every_stage_after_the_first_of_a_name_is_found(self) -> None:
        text = "FROM scratch AS b\nFROM scratch AS b\nFROM scratch AS B\n"
        assert rules(text) == ["DuplicateStageName", "StageNameCasing", "DuplicateStageName"]

    def test_reserved_names(self) -> None:
        text = "FROM scratch AS scratch\nFROM scratch AS context\nFROM scratch AS a\n"
        assert found(text) == ["ReservedStageName: scratch", "ReservedStageName: context"]


class TestFrom:
    def test_arguments_in_image_and_platform_must_be_declared_with_or_without_value(self) -> None:
        text = "ARG A\nFROM scratch$A$BB\nFROM --platform=$TARGETOS/$CC scratch\nARG BB\n"
        assert found(text)[:2] == [
            "UndefinedArgInFrom: scratch$A$BB",
            "UndefinedArgInFrom: $TARGETOS/$CC",
        ]

    def test_the_nearest_argument_is_named(self) -> None:
        (warning,) = check("FROM --platform=$BULIDPLATFORM scratch\n")
        assert warning.hint == "did you mean `BUILDPLATFORM`?"

    @pytest.mark.parametrize(
        ("platform", "rule"),
        [
            ("$TARGETPLATFORM", "RedundantTargetPlatform"),
            ("${TARGETPLATFORM}", "RedundantTargetPlatform"),
            ("${TARGETPLATFORM:-x}", "RedundantTargetPlatform"),
            ("$TARGETOS/$TARGETARCH", None),
            ("$BUILDPLATFORM", None),
            ("linux/amd64", "FromPlatformFlagConstDisallowed"),
            ("linux", "FromPlatformFlagConstDisallowed"),
            ("no/such/thing/at/all", None),
        ],
    )
    def test_platforms(self, platform: str, rule: str | None) -> None:
        assert rules(f"FROM --platform={platform} scratch\n") == ([rule] if rule else [])

    def test_a_stage_that_has_the_platform_in_its_name_means_it(self) -> None:
        assert not rules("FROM --platform=linux/amd64 scratch AS for-amd64\n")
        assert not rules("FROM --platform=linux/arm64 scratch AS linux-files\n")

    def test_defaults_must_make_an_image(self) -> None:
        text = "ARG T\nFROM busybox:$T\nFROM busybox$T\nFROM $T\nFROM busybox:${T:-1}\n"
        assert found(text, build_args={"T": "a"}) == [
            "InvalidDefaultArgInFrom: busybox:$T",
            "InvalidDefaultArgInFrom: $T",
        ]

    def test_defaults_that_cannot_be_expanded_are_told_by_the_build_alone(self) -> None:
        assert found("ARG V=${x:y}\nFROM base:${V}\n", build_args={"V": "1"}) == []

    def test_the_platform_of_a_base_image_is_compared_with_the_one_asked_for(self) -> None:
        arm = {0: image(architecture="arm64")}
        assert found("FROM x\n", bases=arm) == ["InvalidBaseImagePlatform: x"]
        assert not found("FROM --platform=$TARGETOS/arm64 x\n", bases=arm)


class TestVariables:
    def test_the_words_that_the_builder_expands_are_looked_at(self) -> None:
        text = BODY + (
            "ENV bar=$a PATH=$b:/x ok=$PATH c=${d:-1}\nLABEL e=$e\nUSER $f\nVOLUME $g/x\n"
            "WORKDIR /$h\nCOPY --chown=$i --chmod=7$j k$k $l\nADD --checksum=$m a b\n"
            'RUN --mount=type=cache,target=$n echo $shell\nSTOPSIGNAL $o\nEXPOSE $p\nCMD ["$q"]\n'
        )
        marks = [each.partition(": ")[2] for each in found(text)]
        assert marks == ["$a", "$b", "${d", *[f"${name}" for name in "efghijklmno"]]

    def test_a_single_quote_or_an_escape_asks_for_nothing(self) -> None:
        assert found(BODY + "ENV C='$q' D=\\$q E=\"$r\"\n") == ["UndefinedVar: $r"]

    def test_arguments_count_from_their_line_on_also_without_value(self) -> None:
        assert found(BODY + "COPY $a /\nARG a\nCOPY $a x/\n") == ["UndefinedVar: $a"]

    def test_defaults_of_arguments_see_those_before_them_and_are_not_read_when_given(self) -> None:
        text = BODY + "ARG a=$x b=$a\nARG c=$y\n"
        assert found(text, build_args={"c": "1"}) == ["UndefinedVar: $x"]

    def test_global_arguments_must_be_declared_again(self) -> None:
        text = "ARG G=1\nFROM scratch\nCOPY a$G b\nARG G\nCOPY a$G b\n"
        assert found(text) == ["UndefinedVar: $G"]

    def test_a_stage_knows_what_the_stage_below_and_the_image_set(self) -> None:
        text = "FROM x AS a\nARG p\nENV q=1\nFROM a\nCOPY $p$q$IMAGE$z /\n"
        assert found(text, bases={0: image("IMAGE=1")}) == ["UndefinedVar: $z"]

    def test_what_an_unknown_image_sets_is_said_to_be_unknown(self) -> None:
        (warning,) = check("FROM x\nCOPY $IMAGE $PATH\n")
        assert "not in the store" in warning.notes[0]

    def test_bodies_of_here_documents_count_where_they_are_expanded(self) -> None:
        text = BODY + 'COPY <<E1 <<"E2" /x/\n$foo \\$bar\nE1\n$no\nE2\n'
        assert [each[:15] for each in found(text)] == ["UndefinedVar: $"]

    def test_a_near_name_is_proposed(self) -> None:
        (warning,) = check(BODY + "ENV DIRECTORY=/x\nWORKDIR /$DIRECTRY\n")
        assert warning.hint == "did you mean `$DIRECTORY`?"

    def test_arguments_of_one_arg_know_those_before_them(self) -> None:
        assert found("FROM scratch\nARG a=$b b c=$a$b$d\n") == [
            "UndefinedVar: $b",
            "UndefinedVar: $d",
        ]

    def test_only_wanted_stages_are_looked_into(self) -> None:
        text = "FROM scratch AS first\nCOPY $foo .\nFROM scratch AS second\nCOPY $bar .\n"
        assert found(text, wanted=frozenset({1})) == ["UndefinedVar: $bar"]
        assert len(found(text)) == 2

    def test_names_like_secrets(self) -> None:
        text = BODY + (
            "ARG SECRET_PASSPHRASE\nENV SUPER_Secret=foo\nENV password=bar sunflower=baz\n"
            "ARG super_duper_secret_token=foo auth=bar\nENV apikey=bar\nENV git_key=\n"
            "ENV PUBLIC_KEY=\nARG public_token\nARG SECRET_FILE\nARG AUTH_MODULE_VERSION\n"
            "ENV tokens=2 TOKEN1=3 MY_PASS=1 pwd=1 API__KEY=1\n"
        )
        assert [each.partition(": ")[2] for each in found(text)] == [
            "SECRET_PASSPHRASE", "SUPER_Secret", "password", "super_duper_secret_token", "auth",
            "apikey", "git_key", "API__KEY",
        ]  # fmt: skip

    def test_global_arguments_are_in_no_image(self) -> None:
        assert not found("ARG TOKEN\nFROM scratch\n")

    def test_old_pairs(self) -> None:
        text = BODY + "ENV a b c\nLABEL d e\nENV f=g\n"
        assert found(text) == ["LegacyKeyValueFormat: a b c", "LegacyKeyValueFormat: d e"]

    def test_only_the_first_directory_of_a_stage_must_be_absolute(self) -> None:
        text = (
            "FROM scratch AS a\nWORKDIR one\nWORKDIR two\nFROM a\nWORKDIR three\n"
            "FROM scratch\nWORKDIR /x\nWORKDIR y\nFROM scratch\nENV D=/z\nWORKDIR $D\n"
        )
        assert found(text) == ["WorkdirRelativePath: one"]


class TestCommands:
    def test_shell_forms_unless_a_shell_was_chosen(self) -> None:
        text = 'FROM scratch AS a\nCMD one two\nFROM scratch AS b\nSHELL ["x"]\nCMD c\nFROM b\nENTRYPOINT d\n'
        assert found(text) == ["JSONArgsRecommended: one two"]
        assert not found("FROM x\nCMD a\n", bases={0: image(shell=("x",))})

    def test_the_array_to_write_is_shown_where_it_is_plain(self) -> None:
        plain, complex_ = check(BODY + "ENTRYPOINT nginx -g daemon\nCMD a && b\n")
        assert plain.hint == 'write `ENTRYPOINT ["nginx", "-g", "daemon"]`'
        assert complex_.hint == 'write a JSON array: `CMD ["PROGRAM", "ARGUMENT"]`'

    def test_the_earlier_of_several_is_the_one_without_effect(self) -> None:
        text = BODY + 'CMD ["a"]\nHEALTHCHECK NONE\nCMD ["b"]\nHEALTHCHECK CMD x\nCMD ["c"]\n'
        assert found(text) == [
            'MultipleInstructionsDisallowed: CMD ["a"]',
            "MultipleInstructionsDisallowed: HEALTHCHECK NONE",
            'MultipleInstructionsDisallowed: CMD ["b"]',
        ]

    def test_a_stage_may_replace_the_command_of_the_stage_below(self) -> None:
        assert not found('FROM scratch AS a\nCMD ["a"]\nFROM a\nCMD ["b"]\n')

    def test_maintainer(self) -> None:
        assert found(BODY + "MAINTAINER kim\n") == ["MaintainerDeprecated: MAINTAINER"]


class TestPorts:
    def test_a_colon_with_nothing_before_it_is_no_address(self) -> None:
        assert found(BODY + "EXPOSE :80 ::81\n") == []

    def test_protocols_and_addresses_after_expansion(self) -> None:
        text = (
            BODY
            + 'EXPOSE 80/TCP 81/tcp\nENV P="1/UdP 2"\nEXPOSE $P\nEXPOSE 127.0.0.1:1:2 3:4/TCP\n'
        )
        assert found(text) == [
            "ExposeProtoCasing: 80/TCP",
            "ExposeProtoCasing: $P",
            "ExposeInvalidFormat: 127.0.0.1:1:2",
            "ExposeProtoCasing: 3:4/TCP",
            "ExposeInvalidFormat: 3:4/TCP",
        ]


class TestIgnoredSources:
    def test_paths_below_what_is_excluded_are_found(self) -> None:
        text = BODY + "COPY a/b keep *.txt x/\nADD ./a y\nADD http://a z\n"
        marks = found(text, ignore="a\n*.txt\n")
        assert marks == ["CopyIgnoredFile: a/b", "CopyIgnoredFile: *.txt", "CopyIgnoredFile: ./a"]

    def test_the_line_of_the_ignore_file_is_named(self) -> None:
        (warning,) = check(BODY + "COPY a /\n", ignore="# c\n\na\n")
        assert warning.notes == ("line 3 of `.dockerignore` excludes it: `a`",)

    def test_the_root_is_excluded_only_with_everything(self) -> None:
        assert not found(BODY + "COPY . /\n", ignore=".*\n")
        assert found(BODY + "COPY . /\n", ignore="**\n") == ["CopyIgnoredFile: ."]

    def test_nothing_is_said_where_paths_may_be_brought_back(self) -> None:
        assert not found(BODY + "COPY a /\n", ignore="**\n!b\n")

    def test_stages_and_here_documents_have_no_ignore_file(self) -> None:
        text = "FROM scratch AS s\nFROM scratch\nCOPY --from=s a b\nCOPY <<a b\nx\na\n"
        assert not found(text, ignore="a\n")


def test_descriptions_are_checked_when_asked_for() -> None:
    text = (
        "# a\nARG X=1\nFROM scratch\n# Y is\nARG Y\n# Z\nARG Y Z\n# W\nARG Y Z\n"
        "# bla\n#\nARG V\n# bla\nFROM scratch AS x\n# nothing\nFROM scratch\n"
    )
    assert not found(text)
    assert found("# check=experimental=all\n" + text) == [
        "InvalidDefinitionDescription: ARG X=1",
        "InvalidDefinitionDescription: ARG Y Z",
        "InvalidDefinitionDescription: FROM scratch AS x",
    ]
