# A fresh machine needs only make and Python 3.11 or newer: every target prepares .venv by itself.

VENV ?= .venv
PYTHON ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
# Test processes, each with its own PostgreSQL servers: many tests wait for locks, so three keep two cores busy.
# `make test TESTS=tests/pg` runs a part.
WORKERS ?= 3
TESTS ?=
# Tests start some hundred processes: each would compile all of osc again where an environment forbids to keep what was compiled.
export PYTHONDONTWRITEBYTECODE :=
MINUTES ?= 30

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup check fix test test-sweep soak bench demo docs clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP) ## prepare the environment in .venv

check: $(STAMP) ## form, lint, types and import contracts, that the tests load and the benchmarks run
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict osc
	$(BIN)/lint-imports
	@echo 'pytest --collect-only'; said=$$($(BIN)/python -m pytest --collect-only --quiet 2>&1) || { echo "$$said"; exit 1; }
	$(BIN)/python -m pytest --quiet --benchmark-disable benchmarks

fix: $(STAMP) ## repair form and lint where a machine can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(STAMP) ## all tests, against real PostgreSQL 16 and 18 servers that they start themselves
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(TESTS)

test-sweep: $(STAMP) ## every fault at every failpoint of every kind of plan; some hours
	OSC_TEST_SWEEP=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests/sweep

soak: $(STAMP) ## the installed wheel, a standby and chaos; make soak MINUTES=30
	$(BIN)/python -m tests.soak --minutes $(MINUTES)

bench: $(STAMP) ## the benchmarks, side by side in one run
	$(BIN)/python -m benchmarks.backfill
	$(BIN)/python -m benchmarks.foreground
	$(BIN)/python -m benchmarks.sync_trigger
	$(BIN)/python -m pytest --benchmark-only benchmarks

docs: $(STAMP) ## write the generated reference pages anew
	$(BIN)/python docs/generate.py

demo: $(STAMP) ## a schema change on a busy table, in a throw-away PostgreSQL
	$(BIN)/osc demo

clean: ## remove what the tools leave behind, and .venv
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks dist build

$(STAMP): pyproject.toml requirements/dev.txt
	@python=; \
	for candidate in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
	    if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        python=$$candidate; break; \
	    fi; \
	done; \
	if [ -z "$$python" ]; then \
	    echo "osc needs Python 3.11 or newer, but found only: $(or $(PYTHON),none on the PATH). Name one:" >&2; \
	    echo "  make setup PYTHON=/path/to/python3.12" >&2; \
	    exit 1; \
	fi; \
	if ! [ -x $(BIN)/python ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	    if ! "$$python" -c 'import venv, ensurepip' 2>/dev/null; then \
	        echo "$$python has no ensurepip, so it cannot make an environment with pip. On Debian and Ubuntu:" >&2; \
	        echo "  apt-get install python3-venv" >&2; \
	        exit 1; \
	    fi; \
	    "$$python" -m venv --clear $(VENV) || exit 1; \
	fi
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
