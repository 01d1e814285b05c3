# Every target makes .venv when there is none, from the exact versions in constraints.txt.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-paper test check lint docs wheel bench clean

PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

setup: .venv/ready  ## make .venv with dermtwin and everything it can use

# Enough for the demo: no PyTorch, no tools of the developers.
.venv/light: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "dermtwin needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V). Try: make PYTHON=python3.12 setup"; exit 1; }
	@echo "==> making .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[evaluate,web]'
	@touch $@

.venv/ready: .venv/light
	@echo "==> adding PyTorch and the tools to .venv (a few minutes the first time)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,web,dev]'
	@touch $@

demo: .venv/light  ## from pictures to casebook, answers and report; DERMTWIN_DATA=FOLDER for your own
	@scripts/demo

demo-paper: setup  ## the same the paper's way: trains its network first
	@scripts/demo_paper

test: setup  ## the tests, on drawn lesions
	@echo "==> tests"
	@$(BIN)/pytest

check: lint docs wheel  ## style, types, rooms, the docs' commands, the bare wheel

lint: setup
	@echo "==> ruff, mypy, import-linter"
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: setup
	@echo "==> the commands that README.md and docs/ show"
	@$(BIN)/python scripts/check_docs.py

wheel: setup
	@echo "==> the wheel, bare, in a fresh environment"
	@scripts/check_wheel

bench: setup  ## speed and size beside the obvious way and other engines, as ratios
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@$(BIN)/python scripts/bench.py

clean:  ## remove .venv, caches and what the demo made
	@echo "==> removing .venv, demo/, dist/ and caches"
	@rm -rf .venv demo dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
