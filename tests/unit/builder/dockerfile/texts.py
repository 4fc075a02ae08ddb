"""Texts of Dockerfiles for property tests: right, odd and sometimes wrong ones."""

from __future__ import annotations

from hypothesis import strategies as st

_GAPS = st.sampled_from(
    [" ", "  ", "\t", " \\\n", " \\ \n  ", "\\\n# c\n  ", " \\\n\n ", " \\\r\n ", "\\\n"]
)
_PLAIN = ["a", "b/c", "$x", "${y:-z}", '"q r"', "'s'", "\u00e9"]
_PAIRS = ["k=v", 'k="v w"', "k=", "k=$x", "k='a b'"]
_ANY = [*_PLAIN, *_PAIRS, "#x", "&&", '["j", "k"]', "--"]
_SHAPES: dict[str, tuple[list[str], list[str]]] = {
    "RUN": (["--network=none", "--mount=type=cache,target=/c"], _ANY),
    "COPY": (["--chown=a", "--link", "--from=b"], _PLAIN),
    "ADD": (["--chmod=7", "--unpack=true"], _PLAIN),
    "ENV": ([], _PAIRS),
    "LABEL": ([], _PAIRS),
    "ARG": ([], ["n", *_PAIRS]),
    "EXPOSE": ([], ["80", "$x", "81/tcp"]),
    "VOLUME": ([], _PLAIN),
    "WORKDIR": ([], _PLAIN),
    "USER": ([], _PLAIN),
    "CMD": ([], _ANY),
    "ENTRYPOINT": ([], _ANY),
    "STOPSIGNAL": ([], ["9"]),
    "ONBUILD": ([], ["run", *_PLAIN]),
    "HEALTHCHECK": ([], ["cmd", "CMD", *_PLAIN]),
    "FROM": (["--platform=x"], ["a"]),
}
_BETWEEN = st.sampled_from(["", "\n", "\n\n", "# comment  \n", "   # check=skip=all\n", " \t\n"])
_ENDS = st.sampled_from(["\n", "  \n", "\r\n", " \\\n\n", "\n\n\n"])


@st.composite
def dockerfiles(draw: st.DrawFn) -> str:
    """Return a text that is mostly a Dockerfile."""
    parts = [draw(st.sampled_from(["", "\ufeff", "#syntax = x\n", "arg  A=1\n", " # c\n"]))]
    heads = ["FROM scratch\n", "from  scratch  as  base\n", "FROM a\\\n  AS b\n", "  From a\n"]
    parts.append(draw(st.sampled_from(heads)))
    for _ in range(draw(st.integers(0, 4))):
        parts += [draw(_BETWEEN), draw(st.sampled_from(["", "  "])), *_instruction(draw)]
    return "".join(parts)


def _instruction(draw: st.DrawFn) -> list[str]:
    keyword = draw(st.sampled_from(sorted(_SHAPES)))
    flags, words = _SHAPES[keyword]
    parts = [draw(st.sampled_from([keyword, keyword.lower(), keyword.title()]))]
    most = 1 if keyword in ("FROM", "STOPSIGNAL", "WORKDIR", "USER") else 4
    chosen = draw(st.lists(st.sampled_from(words), min_size=1, max_size=most))
    if keyword in ("COPY", "ADD"):
        chosen.append("d/")
    flag = [draw(st.sampled_from(flags))] if flags and draw(st.booleans()) else []
    for word in (*flag, *chosen):
        parts += [draw(_GAPS), word]
    if keyword in ("RUN", "COPY") and draw(st.integers(0, 3)) == 0:
        return [*parts, " <<E", "  \n  body  \n\nE\n"]
    return [*parts, draw(_ENDS)]
