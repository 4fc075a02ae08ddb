"""A project of several languages and the 200 rules of its ignore file, as such files are written."""

from __future__ import annotations

import random
from pathlib import Path

_AT_THE_ROOT = """
.git .gitignore .gitattributes .github .gitlab-ci.yml .circleci .travis.yml .dockerignore .editorconfig .idea
.vscode .husky .devcontainer .prettierrc .eslintrc.json .pre-commit-config.yaml Dockerfile docker-compose.yml
docker-compose.override.yml Makefile Jenkinsfile README.md CHANGELOG.md CONTRIBUTING.md LICENSE /docs /logs
/tmp /coverage ./dist build/ .nvmrc .node-version .python-version .tool-versions renovate.json deploy/terraform deploy/helm/charts tools/scripts/local web/storybook-static
services/legacy/src python/notebooks python/data/raw /.cache /.nox
"""
_AT_ANY_DEPTH = """
node_modules bower_components .npm .yarn .pnpm-store .next .nuxt .svelte-kit .parcel-cache .turbo __pycache__
.pytest_cache .mypy_cache .ruff_cache .tox .venv venv htmlcov .ipynb_checkpoints .hypothesis target .gradle .mvn
.settings .classpath .project bin obj .vs packages TestResults .terraform .vagrant .serverless .aws-sam .DS_Store
Thumbs.db .env .env.local npm-debug.log yarn-error.log .coverage coverage.xml pip-log.txt hs_err_pid.log
.sass-cache .nyc_output .stylelintcache .eslintcache local.settings.json
"""
_ENDINGS = """
pyc pyo pyd so egg whl log tmp temp bak swp swo orig rej pid seed lock.json tgz tar.gz zip jar war ear class
iml ipr iws suo user test.js spec.ts spec.tsx stories.tsx snap map d.ts.map min.css.map md rst ipynb sqlite3
parquet pem key crt p12 jks bz2 xz 7z dmg iso exe pdb
"""
_AT_THE_ROOT_ONLY = ["*.md", "*.txt", "*.yml", "*.toml.bak", "*~", "*.code-workspace", ".env.*"]
_BELOW = """
docs/** logs/** tmp/** web/*/cypress/** web/*/public/uploads/** services/*/src/test/** services/*/build/**
python/**/tests/** python/**/fixtures/*.json services/**/generated/*.java **/e2e/**/*.png **/.cache/**/tmp
deploy/**/*.tfstate deploy/**/secrets tools/**/vendor **/testdata/*.golden **/migrations/*_test.sql
"""
_CLASSES = """
**/*.py[cod] **/*.sw[a-p] **/*.[oa] **/[Bb]uild **/[Dd]ebug/*.dll **/log-????-??-??.txt
services/v[0-9]/openapi.json **/*$py.class **/core.[0-9]* **/[^a-z]*.generated.ts web/app-?/tmp* **/\\#*\\#
"""
_AGAIN = """
!README.md !LICENSE !docs/index.md !docs/api/** !**/package-lock.json !**/requirements.txt !.env.example
!services/*/target/*.jar !web/*/node_modules/.bin !python/**/tests/conftest.py !**/keep.log !deploy/helm/values.yml
!**/testdata/[a-c]*.golden !dist/release !tools/scripts/local/entrypoint.sh
"""


def rules() -> str:
    """Return the ignore file: 200 rules, with comments and blank lines between them."""
    groups = [
        ("the root", _AT_THE_ROOT.split()),
        ("any depth", [f"**/{name}" for name in _AT_ANY_DEPTH.split()]),
        ("endings", [f"**/*.{ending}" for ending in _ENDINGS.split()]),
        ("files of the root", _AT_THE_ROOT_ONLY),
        ("below", _BELOW.split()),
        ("classes", _CLASSES.split()),
        ("wanted all the same", _AGAIN.split()),
    ]
    return "\n".join(f"# {title}\n" + "\n".join(lines) + "\n" for title, lines in groups)


_PLACES = [
    (30, "web/app-{}/node_modules/{}/lib", ["js", "ts", "d.ts", "js.map", "json", "md"]),
    (15, "web/app-{}/src/components/{}", ["tsx", "css", "spec.tsx", "stories.tsx", "ts"]),
    (15, "services/{}/src/main/java/com/example/{}", ["java", "properties", "xml"]),
    (5, "services/{}/src/test/java/com/example/{}", ["java", "json"]),
    (5, "services/{}/target/classes/com/example/{}", ["class"]),
    (10, "python/{}/{}", ["py", "pyi", "txt"]),
    (5, "python/{}/{}/__pycache__", ["cpython-311.pyc"]),
    (5, "python/{}/tests/{}", ["py", "json"]),
    (3, "docs/{}/{}", ["md", "rst", "png"]),
    (2, "deploy/{}/{}", ["tf", "tfstate", "yml"]),
    (5, ".git/objects/{}/{}", ["pack", "idx"]),
]
_WORDS = """
account address adapter archive audit batch billing cache cart catalog checkout client config contact context
customer daemon delivery detail device dialog digest email event export factory feature filter format gateway
handler helper image import index inventory invoice item job layout ledger list login manager menu message metric
model network notice option order page parser payment plugin policy price product profile provider proxy query
queue record refund region report request resource result review role route rule scheduler schema search service
session setting shipment socket state status stock storage stream summary table task tax template theme token
transfer user value vendor view wallet widget worker
"""
_FILES_PER_DIRECTORY = 20


def make_project(target: Path, *, files: int) -> Path:
    """Write `files` small files below `target`."""
    source = random.Random(1_000)
    weights = [weight for weight, _, _ in _PLACES]
    written = 0
    while written < files:
        _, place, endings = source.choices(_PLACES, weights)[0]
        directory = target / place.format(source.randrange(8), _name(source))
        directory.mkdir(parents=True, exist_ok=True)
        for _ in range(min(_FILES_PER_DIRECTORY, files - written)):
            path = directory / f"{_name(source)}.{source.choice(endings)}"
            written += not path.exists()
            path.write_text("x")
    return target


def _name(source: random.Random) -> str:
    return source.choice("-_").join(source.choices(_WORDS.split(), k=source.randint(1, 3)))
