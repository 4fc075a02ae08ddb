# Two commands for a fresh machine: `make quickstart` and `make test`. Both set up what they need.
SHELL := /bin/bash
PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest

.DEFAULT_GOAL := help
.PHONY: help check format test test-all fuzz quickstart docs filters bench bench-quick repro clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/.runtime: pyproject.toml .ci/environment
	@.ci/environment runtime

.venv/.dev: pyproject.toml .ci/environment
	@.ci/environment dev

.venv/.test-tools: .ci/test-tools | .venv/.dev
	@.ci/test-tools
	@touch $@

check: .venv/.dev  ## format, lint, types, import contracts
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: .venv/.dev  ## put the sources into their form
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

test: .venv/.dev .venv/.test-tools  ## the suite (at most 20 minutes)
	$(PYTEST) $(PYTEST_ARGS)

test-all: .venv/.dev .venv/.test-tools  ## the suite and what takes longer
	$(PYTEST) -m '' $(PYTEST_ARGS)

fuzz: .venv/.dev  ## the property tests with far more examples
	HYPOTHESIS_PROFILE=fuzz $(PYTEST) tests/unit tests/build/test_cache_right.py $(PYTEST_ARGS)

quickstart: .venv/.runtime  ## build a small project, run it, build it again
	@.ci/quickstart

repro: .venv/.dev .venv/.test-tools  ## build projects as on several machines and compare the images
	@.ci/repro

docs: .venv/.dev  ## write docs/conformance.md from the cases
	$(PYTHON) -m tests.conformance.page

filters: .venv/.dev  ## write the system call filters that are shipped, from their tables
	$(PYTHON) -m runtime.filters

bench: .venv/.dev .venv/.test-tools  ## measure speed and memory (as root), into docs/benchmarks.md
	$(PYTHON) -m tests.bench

bench-quick: .venv/.dev .venv/.test-tools  ## a tenth of it, only printed
	$(PYTHON) -m tests.bench --quick

clean:  ## remove what the tools left, the virtual environment too
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
