# The build entry points. `make` alone lists them.
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help venv venv-bench demo airflow test test-unit test-system test-system-3.4 test-thorough test-python-3.12 \
        test-python-3.13 test-airflow-3.1 test-airflow-3.2 test-airflow-3.4 test-distributed test-distributed-3.4 \
        lint format types package docs snippets bench constraints clean

# The first Python that Airflow supports and that can make virtual environments; override with `make PYTHON=...`.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
            $$python -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
            && echo $$python && break; done)

VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=

# In so many processes at once: tests wait more than they work. `make test-unit WORKERS=0` keeps all in one, for a
# debugger.
WORKERS ?= 4
parallel = -n $(1) --dist loadgroup
# Byte code is kept: each of the many processes would otherwise compile tests and package again.
unexport PYTHONDONTWRITEBYTECODE
# `make test-unit ROOM=client` runs the tests of one folder.
ROOM ?=
# `make test-unit COVERAGE=1` says in the end which lines of the package no test has reached.
COVERAGE ?=
coverage = $(if $(COVERAGE),--cov --cov-report=term-missing)
# Folders whose tests start real Airflow processes, and those whose tests do without Airflow.
SYSTEM := tests/system
DISTRIBUTED := tests/distributed
BARE := tests/client tests/sandbox tests/durable tests/test_layers.py
UNIT := $(if $(ROOM),tests/$(ROOM),tests $(SYSTEM:%=--ignore=%) --ignore=$(DISTRIBUTED))

help: ## this table
	@grep -hE '^[a-z][a-z0-9.-]*:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

venv: ## create or refresh .venv: Airflow, the provider, all that the tests need
	@$(call install,$(VENV),constraints.txt,dev)

demo: venv ## make videos with all four modes on a real Airflow against the local sandbox, then stop it
	@$(BIN)/python -m tools.demo $(DEMO_ARGS)

airflow: venv ## the same, but leave Airflow running with its UI until Ctrl-C; with your own DAGs: DAGS=folder
	@$(BIN)/python -m tools.demo --keep $(if $(DAGS),--dags '$(DAGS)') $(DEMO_ARGS)

# One after the other: a starved Airflow loses its API server, and then its tasks.
test: venv ## every test, those on real Airflow processes included
	@$(MAKE) --no-print-directory test-system
	@$(MAKE) --no-print-directory test-unit

test-unit: venv ## the tests that need no running Airflow; of one folder of tests/ with ROOM=client
	$(BIN)/python -m pytest $(UNIT) $(call parallel,$(WORKERS)) $(coverage) $(PYTEST_ARGS)

# So many Airflows at once; two need more than two cores.
AIRFLOWS ?= 1
test-system: venv ## the tests on real Airflow processes
	$(BIN)/python -m pytest $(SYSTEM) $(if $(filter-out 1,$(AIRFLOWS)),$(call parallel,$(AIRFLOWS))) $(PYTEST_ARGS)

test-system-3.4: ## clears and loops on real processes of the pre-release 3.4.0b2, on PostgreSQL
	@$(call install,.venv-3.4,constraints-3.4.txt,distributed)
	.venv-3.4/bin/python -m pytest tests/system/test_airflow_34.py $(PYTEST_ARGS)

# One test lasts for minutes there.
distributed = -m pytest $(DISTRIBUTED) -o faulthandler_timeout=1800 $(PYTEST_ARGS)

test-distributed: venv ## a distributed Airflow whose parts die, in minutes; SIZE=full for 60 videos and a batch of 200
	LAB_SIZE=$(SIZE) $(BIN)/python $(distributed)

test-distributed-3.4: ## the same on the pre-release 3.4.0b2, in an environment of its own
	@$(call install,.venv-3.4,constraints-3.4.txt,distributed)
	LAB_SIZE=$(SIZE) .venv-3.4/bin/python $(distributed)

test-thorough: venv ## properties with many new examples, and simulations of thousands of tasks
	$(BIN)/python -m pytest $(UNIT) $(call parallel,$(WORKERS)) --hypothesis-profile=thorough \
	  -m "thorough or hypothesis" $(PYTEST_ARGS)

test-airflow-3.1: ## the tests that touch Airflow on Airflow 3.1, in an environment of its own
test-airflow-3.2: ## the tests that touch Airflow on Airflow 3.2, in an environment of its own
test-airflow-3.4: ## the tests that touch Airflow on the pre-release 3.4.0b2, in an environment of its own
test-airflow-3.1 test-airflow-3.2 test-airflow-3.4: test-airflow-%:
	@$(call install,.venv-$*,constraints-$*.txt,test)
	.venv-$*/bin/python -m pytest $(UNIT) $(BARE:%=--ignore=%) --ignore=tests/tools \
	  $(call parallel,$(WORKERS)) $(PYTEST_ARGS)

test-python-3.12: ## the tests that do without Airflow on Python 3.12, without Airflow
test-python-3.13: ## the tests that do without Airflow on Python 3.13, without Airflow
test-python-3.12 test-python-3.13: test-python-%:
	@if python=$$(tools/python.sh $*); then \
	  tools/bare_venv.sh "$$python" .venv-python$* constraints.txt && \
	  .venv-python$*/bin/python -m pytest $(BARE) $(call parallel,$(WORKERS)) $(PYTEST_ARGS); \
	else echo "SKIPPED: there is no Python $* here"; fi

lint: venv ## ruff: rules and formatting; codespell; pylint: what stands twice in the package
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	git ls-files -z | xargs -0 $(BIN)/codespell
	$(BIN)/pylint airflow_provider_wan

format: venv ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: venv ## mypy: strict for the package and the tools, not strict for the tests
	$(BIN)/mypy

package: venv ## build wheel and sdist, check them, import the wheel in a clean environment
	tools/package.sh $(BIN) constraints.txt

venv-bench: ## create or refresh .venv-bench: as .venv, and the providers that the benchmarks compare with
	@$(call install,.venv-bench,constraints.txt,bench)

docs: venv ## the documentation as a site, in build/site; warnings are errors
	@$(BIN)/python -m tools.docs_site

snippets: venv ## bring the code that docs/ shows up to date with the example DAGs it is cut from
	@$(BIN)/python -m tools.snippets

bench: venv-bench ## all benchmarks beside what people use today, about an hour; writes benchmarks/RESULTS.md
	.venv-bench/bin/python -m benchmarks $(BENCH_ARGS)

constraints: venv ## resolve the newest versions anew, for every supported Python: rewrites constraints*.txt
	tools/constraints.sh $(BIN)/uv

clean: ## remove environments, caches, homes of Airflows, results
	rm -rf .venv .venv-* .run out dist build .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# $(1): the environment's folder, $(2): constraints file, $(3): extras
define install
test -n "$(PYTHON)" || { echo "No Python 3.11 to 3.13 (with venv) was found; name one: make PYTHON=/path/to/python" >&2; exit 1; }; \
tools/venv.sh "$(PYTHON)" $(1) $(2) $(3)
endef
