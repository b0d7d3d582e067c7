# The build entry points. `make` alone lists them.
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help venv venv-bench demo airflow test test-unit test-system test-airflow-3.1 test-airflow-3.2 \
        lint format types bench constraints clean

# The first Python that Airflow supports and that can make virtual environments; override with `make PYTHON=...`.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
            $$python -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
            && echo $$python && break; done)

VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=

help: ## this table
	@grep -hE '^[a-z][a-z0-9.-]*:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

venv: ## create or refresh .venv: Airflow, the provider, all that the tests need
	@$(call install,$(VENV),constraints.txt,dev)

demo: venv ## make videos with all four modes on a real Airflow against the local sandbox, then stop it
	@$(BIN)/python -m tools.demo $(DEMO_ARGS)

airflow: venv ## the same, but leave Airflow running to look around in its UI, until Ctrl-C
	@$(BIN)/python -m tools.demo --keep $(DEMO_ARGS)

test: venv ## every test, those on real Airflow processes included
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-unit: venv ## the tests that need no running Airflow
	$(BIN)/python -m pytest --ignore=tests/system $(PYTEST_ARGS)

test-system: venv ## the tests on real Airflow processes
	$(BIN)/python -m pytest tests/system $(PYTEST_ARGS)

test-airflow-3.1: ## the unit tests on Airflow 3.1, in an environment of its own
test-airflow-3.2: ## the unit tests on Airflow 3.2, in an environment of its own
test-airflow-3.1 test-airflow-3.2: test-airflow-%:
	@$(call install,.venv-$*,constraints-$*.txt,dev)
	.venv-$*/bin/python -m pytest --ignore=tests/system $(PYTEST_ARGS)

lint: venv ## ruff: rules and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: venv ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: venv ## mypy, strict
	$(BIN)/mypy

venv-bench: ## create or refresh .venv-bench: as .venv, and the providers that the benchmarks compare with
	@$(call install,.venv-bench,constraints.txt,bench)

bench: venv-bench ## all benchmarks beside what people use today, about an hour; writes benchmarks/RESULTS.md
	.venv-bench/bin/python -m benchmarks $(BENCH_ARGS)

constraints: venv ## resolve the newest versions anew, for every supported Python: rewrites constraints*.txt
	tools/constraints.sh $(BIN)/uv 3.3.2 constraints.txt --all-extras
	tools/constraints.sh $(BIN)/uv 3.2.2 constraints-3.2.txt --extra dev
	tools/constraints.sh $(BIN)/uv 3.1.8 constraints-3.1.txt --extra dev

clean: ## remove environments, caches, homes of Airflows, results
	rm -rf .venv .venv-bench .venv-3.1 .venv-3.2 .run out dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# $(1): the environment's folder, $(2): constraints file, $(3): extras
define install
test -n "$(PYTHON)" || { echo "No Python 3.11 to 3.13 (with venv) was found; name one: make PYTHON=/path/to/python" >&2; exit 1; }; \
tools/venv.sh "$(PYTHON)" $(1) $(2) $(3)
endef
