# tieout: the commands a developer needs. `make` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
LOCALNET_BIN := localnet/.venv/bin
SOURCES := idl rpc client database indexer reconcile web cli tests
PYTEST_ARGS ?=
# a file's tests share a chain and a database: they stay in one process
CORES ?= $(shell nproc 2>/dev/null || echo 2)
PIP_FLAGS := --quiet --disable-pip-version-check --require-hashes
# the tests start hundreds of processes: without the bytecode on disk each compiles all of it again
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup fmt check test test-database test-agave chaos demo bench docs lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .setup-main .setup-localnet ## install everything into .venv and localnet/.venv, pinned by hash

.setup-main: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "tieout needs Python 3.11 or newer, not " + sys.version.split()[0])'
	@echo "installing tieout into .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install $(PIP_FLAGS) -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.setup-localnet: localnet/requirements/dev.txt localnet/pyproject.toml
	@echo "installing the localnet into localnet/.venv"
	@$(PYTHON) -m venv localnet/.venv
	@$(LOCALNET_BIN)/python -m pip install $(PIP_FLAGS) -r localnet/requirements/dev.txt
	@$(LOCALNET_BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e localnet
	@touch $@

fmt: setup ## format the code
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)
	$(LOCALNET_BIN)/ruff format localnet
	$(LOCALNET_BIN)/ruff check --fix localnet

check: setup ## format, lint, types, import contracts, migrations
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/squawk --config .squawk.toml database/tieout_database/migrations/*.sql
	$(LOCALNET_BIN)/ruff format --check localnet
	$(LOCALNET_BIN)/ruff check localnet
	cd localnet && .venv/bin/mypy

test: setup ## run all tests, one process a core (PYTEST_ARGS="-k name" picks some)
	$(BIN)/python -m pytest -n $(CORES) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)
	cd localnet && .venv/bin/python -m pytest $(PYTEST_ARGS)

test-database: setup ## run the tests that need Postgres on the server of TIEOUT_TEST_DSN
	@test -n "$${TIEOUT_TEST_DSN:-}" || { echo "set TIEOUT_TEST_DSN to a server on which databases may be created" >&2; exit 2; }
	$(BIN)/python -m pytest tests/database tests/indexer tests/reconcile $(PYTEST_ARGS)

test-agave: setup ## run the client's tests on a real solana-test-validator (TIEOUT_AGAVE or PATH)
	TIEOUT_TEST_VALIDATOR=agave $(BIN)/python -m pytest tests/client $(PYTEST_ARGS)

chaos: setup ## many seeds of kills, forks and lies (TIEOUT_CHAOS_SEEDS=300)
	TIEOUT_CHAOS_SEEDS=$${TIEOUT_CHAOS_SEEDS:-300} TIEOUT_PAYOUT_ROWS=$${TIEOUT_PAYOUT_ROWS:-5000} \
	$(BIN)/python -m pytest tests/chaos tests/cli/test_scenarios.py tests/client/test_chaos.py tests/client/test_payouts.py \
	tests/reconcile/test_control_daemon.py $(PYTEST_ARGS)

demo: setup ## play a whole day on a local chain, index it live, reconcile it
	@$(BIN)/tieout demo

bench: setup ## measure indexer, reconciliation, books, payouts, serving, control and localnet beside their yardsticks (about a quarter of an hour)
	$(BIN)/python tests/bench
	$(BIN)/python tests/bench/paying.py
	$(BIN)/python tests/bench/reconciling.py
	$(BIN)/python tests/bench/populating.py
	$(BIN)/python tests/bench/serving.py
	$(BIN)/python tests/bench/control.py
	$(LOCALNET_BIN)/python localnet/bench.py
	$(BIN)/python tests/bench/books.py

docs: setup ## renew docs/commands.md from --help, and check that the docs' commands, names and links hold
	$(BIN)/python tests/docs/commands.py
	$(BIN)/python -m pytest tests/docs

lock: ## renew the hash-pinned requirements from pyproject.toml (needs uv)
	uv pip compile -q pyproject.toml --all-extras --universal --generate-hashes --no-header --no-annotate --no-emit-index-url -o requirements/runtime.txt
	uv pip compile -q pyproject.toml --all-extras --group dev --universal --generate-hashes --no-header --no-annotate --no-emit-index-url -o requirements/dev.txt

clean: ## remove what make setup installed
	rm -rf .venv localnet/.venv .setup-main .setup-localnet
