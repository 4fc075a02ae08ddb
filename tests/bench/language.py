"""A long Dockerfile of many stages, and a Python module of as many lines."""

from __future__ import annotations

import ast
import inspect
import math
from pathlib import Path

_STAGE = r"""
FROM {base} AS stage{stage}
ARG VERSION=1.{stage}
ENV APP_HOME=/srv/app \
    LANG=C.UTF-8 PIP_NO_CACHE_DIR=1
LABEL org.opencontainers.image.title="stage {stage}" org.opencontainers.image.version="$VERSION"
WORKDIR $APP_HOME/{stage}
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates curl git \
 && rm -rf /var/lib/apt/lists/*
"""
_STEPS = r"""
COPY package{step}.json package-lock{step}.json ./
RUN npm ci --omit=dev && npm cache clean --force
COPY --chown=1000:1000 src/part{step} ./part{step}
ENV PART_{step}=${{APP_HOME}}/part{step} MODE="${{MODE:-production}}"
# the parts are built one after the other
RUN set -eux; make -C part{step} -j4 VERSION="$VERSION"; test -x "$PART_{step}/bin/tool"
RUN <<EOF
echo "part {step} of $VERSION" > /etc/part{step}
chmod 0644 /etc/part{step}
EOF
USER app
EXPOSE 8{step:03}/tcp
"""
_FROM_BEFORE = "COPY --from=stage{before} /srv/app/out /opt/before{step}\n"


def dockerfile(*, instructions: int, stages: int) -> str:
    """Return the text of so many instructions or a few more; two of three stages begin with the one before."""
    steps = math.ceil((instructions / stages - 6) / 9)
    out: list[str] = []
    for stage in range(stages):
        base = f"stage{stage - 1}" if stage % 3 else "base"
        out.append(_STAGE.format(stage=stage, base=base))
        for step in range(steps):
            out.append(_STEPS.format(step=step))
            if stage:
                out.append(_FROM_BEFORE.format(step=step, before=stage - 1))
    return "".join(out)


def module(*, lines: int) -> str:
    """Return the beginning of a module of the standard library: whole statements, at most so many lines."""
    text = Path(inspect.__file__).read_text()
    last = max(
        each.end_lineno
        for each in ast.parse(text).body
        if each.end_lineno is not None and each.end_lineno <= lines
    )
    return "\n".join(text.split("\n")[:last]) + "\n"
