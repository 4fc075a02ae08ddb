"""The rules by name, as data: what each is about in one line; `docs/rules` has a page for each.

Names are BuildKit's, so that directives and tools mean the same here; those of our own are in `OWN`.
"""

from __future__ import annotations

import msgspec

EXPERIMENTAL = frozenset({"InvalidDefinitionDescription"})
"""Rules that are off until `experimental=` asks for them."""

OWN = frozenset(
    {
        "AptUpdateAlone",
        "BroadArgAboveCostlyRuns",
        "ChownDoublesLayer",
        "CommentWithoutEffect",
        "FlagWithoutEffect",
    }
)
"""Rules that BuildKit does not have."""


class Rule(msgspec.Struct, frozen=True):
    """One rule; `url` is its page in Docker's documentation, "" for none."""

    name: str
    summary: str

    @property
    def url(self) -> str:
        """The page that Docker's tools link to."""
        if self.name in OWN or self.name == "InvalidBaseImagePlatform":
            return ""
        return f"https://docs.docker.com/go/dockerfile/rule/{_kebab(self.name)}/"


def _kebab(name: str) -> str:
    """Return `JSONArgsRecommended` as `json-args-recommended`."""
    out: list[str] = []
    for index, char in enumerate(name):
        after = name[index + 1 : index + 2]
        if index and char.isupper() and (name[index - 1].islower() or after.islower()):
            out.append("-")
        out.append(char.lower())
    return "".join(out)


_SUMMARIES = {
    "StageNameCasing": "names of stages are written in lower case",
    "FromAsCasing": "FROM and AS are written in the same case",
    "NoEmptyContinuation": "no empty line stands inside a continued instruction",
    "ConsistentInstructionCasing": "all keywords of a file are written in the same case",
    "DuplicateStageName": "each stage has a name of its own",
    "ReservedStageName": "no stage is called `scratch` or `context`",
    "JSONArgsRecommended": "CMD and ENTRYPOINT are JSON arrays, so that signals reach the program",
    "MaintainerDeprecated": "the author is a label, not a MAINTAINER",
    "UndefinedArgInFrom": "FROM uses build arguments that are declared",
    "WorkdirRelativePath": "the first WORKDIR of a stage is absolute",
    "UndefinedVar": "variables are defined before they are used",
    "MultipleInstructionsDisallowed": "a stage has one CMD, one ENTRYPOINT and one HEALTHCHECK",
    "LegacyKeyValueFormat": "ENV and LABEL are written with an equals sign",
    "InvalidBaseImagePlatform": "a base image has the platform that is built for",
    "RedundantTargetPlatform": "FROM names no platform where it is the target's anyway",
    "SecretsUsedInArgOrEnv": "secrets are in neither ARG nor ENV",
    "InvalidDefaultArgInFrom": "FROM names an image when no build argument is given",
    "FromPlatformFlagConstDisallowed": "the platform of FROM is not a constant",
    "CopyIgnoredFile": "nothing is copied that the ignore file excludes",
    "InvalidDefinitionDescription": "a comment above a stage or argument begins with its name",
    "ExposeProtoCasing": "protocols of EXPOSE are written in lower case",
    "ExposeInvalidFormat": "EXPOSE names ports, without address and host port",
    "AptUpdateAlone": "the package index is fetched in the RUN that installs from it",
    "BroadArgAboveCostlyRuns": "an argument that changes often stands below costly steps",
    "CommentWithoutEffect": "a comment of lapstrake's own says what it knows, where that counts",
    "FlagWithoutEffect": "an ADD has no flag that is for other sources than its own",
    "ChownDoublesLayer": "owners and modes are set by the COPY, not by a RUN after it",
}

RULES: dict[str, Rule] = {name: Rule(name, summary) for name, summary in _SUMMARIES.items()}
