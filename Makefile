# The same few commands for people and for CI. Each makes what it needs; nothing is installed outside .venv.
# `make demo` needs the core alone (seconds); the others complete .venv with torch and the tools (minutes, once).
# Words for the command itself go in ARGS: make test ARGS="-k split"

PYTHON ?= python3
ARGS ?=

# An empty file's time says which requirements .venv holds.
UV := .venv/.has-uv
CORE := .venv/.has-core
FULL := .venv/.has-all

BIN := .venv/bin
# The build backend is among the pins, so that the project itself needs no download.
INSTALL_PROJECT := $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
# A lock must not carry the index or the folders of wheels of the machine that made it.
LOCK := env -u UV_INDEX -u UV_DEFAULT_INDEX -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS $(BIN)/uv pip compile --quiet --no-config \
	--universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links $(UPGRADE)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test test-all check bench docs lock clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

install: $(FULL)  ## make .venv with everything that the targets below need

demo: $(CORE)  ## draw pictures, train, evaluate, predict (installs the core alone)
	$(BIN)/tellapart demo $(ARGS)

test: $(FULL)  ## the tests that take seconds
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-all: $(FULL)  ## every test
	$(BIN)/python -m pytest $(ARGS)

check: $(FULL)  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(FULL)  ## time it against others; see bench/README.md
	$(BIN)/python bench/run.py $(ARGS)

docs: $(FULL)  ## write docs/commands.md anew from the commands' own help
	@mkdir -p docs
	$(BIN)/typer tellapart.cli utils docs --name tellapart --title "Commands" --output docs/commands.md

lock: $(UV)  ## pin the requirements anew; UPGRADE=--upgrade takes the newest
	$(LOCK) --group installer -o requirements/uv.txt
	$(LOCK) pyproject.toml --extra train --extra heif --extra serve --extra dev --group build -o requirements/dev.txt
	$(LOCK) pyproject.toml --group build --constraints requirements/dev.txt -o requirements/demo.txt

clean:  ## remove what builds, tests and tools left behind (.venv stays: rm -r .venv)
	rm -rf build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name '.*venv' -prune -o -name __pycache__ -prune -exec rm -rf {} +

$(UV): requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Tellapart needs Python 3.11 or newer; found: $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

# .has-all includes the core, so a complete .venv is not touched by `make demo`.
$(CORE): requirements/demo.txt pyproject.toml | $(UV)
	$(BIN)/uv pip install --python $(BIN)/python --require-hashes -r requirements/demo.txt
	$(INSTALL_PROJECT)
	@touch $@

$(FULL): requirements/dev.txt pyproject.toml | $(UV)
	$(BIN)/uv pip sync --python $(BIN)/python --require-hashes requirements/dev.txt
	$(INSTALL_PROJECT)
	@touch $@ $(CORE)
