# `make help` lists the targets. Everything is installed into .venv, from the versions in constraints.txt.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest -n auto

.DEFAULT_GOAL := help
.PHONY: help quickstart test setup setup-train check test-slow test-differential test-resume test-explore test-all bench effects clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

quickstart: setup-train ## set up and watch a small policy learn a household game, in minutes on a CPU
	$(BIN)/agentgym train quickstart

test: setup ## set up and run the tests (minutes; CPU, offline)
	$(PYTEST) -m "not slow"

setup: $(VENV)/.setup-dev ## everything that the tests need

setup-train: $(VENV)/.setup-train ## what training needs

# pip 26.2 and 26.3 build nothing from source beside an editable install, so pip has a constraint too.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt --upgrade pip setuptools wheel

# torch first and alone: with its pin, what else needs torch is content with it.
$(VENV)/.setup-train: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt torch
	$(PIP) install -c constraints.txt --editable '.[train,search,simtools]'
	@touch $@

$(VENV)/.setup-dev: $(VENV)/.setup-train
	$(PIP) install -c constraints.txt --editable '.[train,alfworld,textworld,search,simtools,http,mcp,bfcl,swe,dev]'
	$(BIN)/agentgym fetch bfcl
	@touch $@

check: setup ## formatting, lint, types, direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test-differential: setup ## household against the real ALFWorld engine, 200+ worlds of 50 commands
	$(PYTEST) -m slow --timeout 900 tests/envs

test-resume: setup ## kill -9 at 20 random moments, resume, compare parameters
	$(PYTEST) -m slow --timeout 900 tests/trainers tests/records

test-slow: setup ## every test that takes minutes
	$(PYTEST) -m slow --timeout 900

test-explore: setup ## property tests on examples that differ from run to run
	$(PYTEST) -m "hypothesis and not slow" --hypothesis-profile=explore

test-all: check test test-slow ## everything

bench: setup ## the figures of docs/performance.md
	for script in bench/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

effects: setup ## the comparisons of docs/effects.md, under 90 minutes
	PYTHON=$(abspath $(BIN))/python bench/effects/run.sh

clean: ## remove what setting up and building made
	rm -rf $(VENV) build dist *.egg-info
