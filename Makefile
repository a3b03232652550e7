# Two commands are all that a newcomer needs: `make run` and `make test`. Each sets up what it uses, once.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
STANDBY ?= yes
SOURCES := handler local tests

.DEFAULT_GOAL := help
.PHONY: help run serve test lint format clean

help:  ## list these commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): requirements.txt requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

run: $(READY)  ## play two days of the schedule through the real handler, with faults (STANDBY=no: without a standby)
	$(BIN)/python -m local --standby $(STANDBY)

serve: $(READY)  ## keep the vendor and Secrets Manager up on loopback, for `python -m handler` and the AWS CLI
	$(BIN)/python -m local serve

test: $(READY)  ## lint, types and every test
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -n auto

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

format: $(READY)  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clean:  ## remove what these commands made
	rm -rf .venv .venv-3.13 $(VENV) build out .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
