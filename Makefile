# Tapeline's commands. `make help` lists them.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# Most tests wait for processes half of their time: one more than there are processors.
WORKERS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2) + 1)))
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
SOURCE ?=
SEED   ?= $(shell date +%Y%m%d)
# As it was typed: neither make nor the shell may expand what a folder's name holds.
export RUN_SOURCE := $(value SOURCE)

.DEFAULT_GOAL := help
.PHONY: help install run up test test-all guide test-windows test-containers faults soak mutants bench lint reference format clean

help: ## List the commands
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk 'BEGIN {FS = ":.*?## "} {printf "  make %-16s %s\n", $$1, $$2}'

$(VENV)/installed: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tapeline needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing (on Debian: apt install python3-venv)"; exit 1; }
	@echo "Installing into $(VENV) (once, about a minute) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

install: $(VENV)/installed ## Make the virtual environment and install into it

run: install ## Back a folder up to a virtual tape, restore and compare it: make run SOURCE=/some/folder
	@$(BIN)/tapeline run $${RUN_SOURCE:+"$$RUN_SOURCE"}

up: install ## Run everything on this machine: servers, workers, beat, dashboard
	@$(BIN)/tapeline up

lint: install ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test: lint ## What guards a rule, in minutes, against a real Redis and a real PostgreSQL that it starts by itself
	@$(PYTEST) -m "not long and not faults and not soak and not guide and not containers" --durations 10 $(ARGS)

test-all: lint ## All tests but those below: also every command and page, with real processes and a browser
	@$(PYTEST) -m "not faults and not soak and not guide and not containers" --durations 10 $(ARGS)

guide: install ## Every command of the guide, chapter by chapter, against a real installation (two minutes)
	@$(PYTEST) -m guide tests/guide $(ARGS)

test-windows: install ## The driver of LTFS on Windows and one whole chain, under wine with a Python of Windows
	@$(BIN)/python -m tests.windows.wine

test-containers: install ## docker/ built, brought up and used by a real engine; starts a Docker by itself where it may
	@$(BIN)/python -m pytest -n 0 -m containers tests/containers $(ARGS)

faults: install ## The table of faults: kills, lost and repeated messages, broken tapes, servers that go away
	@$(PYTEST) -m "faults and not soak" tests/faults $(ARGS)

soak: install ## What takes long: 10,000 random histories of each kind, ten minutes of random kills, long outages (hours)
	@$(PYTEST) -m "soak or histories" --timeout 7200 --histories 10000 --histories-seed $(SEED) $(ARGS)

mutants: install ## Break the safety rules one change at a time: do the near tests see it? A part of it: make mutants ARGS=policy/tapes/permit.py
	@$(BIN)/python -m tests.mutants.run $(ARGS)

bench: install ## Tapeline beside tar, borg and restic on this machine: tables, more than an hour; a part of it: make bench ARGS=stream
	@$(BIN)/python -m benchmarks $(ARGS)

reference: install ## Write the pages of docs/ that are made from the code
	@$(BIN)/python -m tools.reference docs

format: install ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean: ## Remove what the commands above made in this folder
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
