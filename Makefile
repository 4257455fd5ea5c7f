# Every target sets up .venv by itself: Python 3.11 or newer is all that is needed.
# make PYTHON=/path/to/python3 … chooses the interpreter.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?=
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOCK_VENV := .venv-lock
SOURCES := $(wildcard firstmile workflows activities worker.py starter.py tests benchmarks)
ONCE_FLAG := $(if $(filter 1,$(ONCE)),--once)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test check lock clean .venv

help: ## say what can be made
	@awk -F ':[^#]*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(READY) ## onboard sample customers on this machine, until interrupted (ONCE=1: until all have finished)
	@echo "==> firstmile demo $(ONCE_FLAG)"
	@exec $(BIN)/firstmile demo $(ONCE_FLAG)

test: $(READY) ## run the tests (ARGS="tests/journey -k weekend" chooses among them)
	@echo "==> pytest"
	@$(BIN)/python -m pytest -n 2 $(ARGS)

check: $(READY) ## lint, formatting, types, import contracts
	@echo "==> ruff check"
	@$(BIN)/ruff check .
	@echo "==> ruff format --check"
	@$(BIN)/ruff format --check .
	@echo "==> mypy"
	@$(BIN)/mypy $(SOURCES)
	@echo "==> lint-imports"
	@$(BIN)/lint-imports

# ---- the environment -------------------------------------------------------------------------------------

# Sets the shell variable `python` to an interpreter that is new enough and can make an environment. It is run,
# not only looked up: a name on the path may be a version manager's shim with nothing behind it.
define find_python
python=; \
for candidate in $(if $(PYTHON),'$(PYTHON)',python3 python3.14 python3.13 python3.12 python3.11 python); do \
  if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
    python="$$candidate"; break; \
  fi; \
done; \
if [ -z "$$python" ]; then \
  echo "Firstmile needs Python 3.11 or newer, with its venv module; found none$(if $(PYTHON), at $(PYTHON))." >&2; \
  echo "Debian, Ubuntu: apt-get install python3 python3-venv. One that lies elsewhere: make PYTHON=/path/to/python3" >&2; \
  exit 1; \
fi
endef

.venv: $(READY)

# The packages come first, from the lock and with their hashes; then the checkout, without another look at an index.
$(READY): requirements-dev.lock pyproject.toml
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  $(find_python); \
	  echo "==> making $(VENV) with $$("$$python" --version)"; \
	  rm -rf $(VENV); \
	  "$$python" -m venv $(VENV); \
	fi
	@echo "==> installing the locked packages (up to a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	@echo "==> installing Firstmile from this checkout"
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# The only target that wants uv: it gets an environment of its own. Pins stay as they are unless UPGRADE=1.
# --no-header and --no-emit-*: the locks name no machine and no index.
COMPILE = $(LOCK_VENV)/bin/uv pip compile --no-config --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links $(if $(filter 1,$(UPGRADE)),--upgrade)

lock: ## write the locked requirements anew after a change in pyproject.toml (UPGRADE=1: newest versions)
	@if ! [ -x $(LOCK_VENV)/bin/uv ]; then \
	  $(find_python); \
	  echo "==> making $(LOCK_VENV)"; \
	  "$$python" -m venv $(LOCK_VENV); \
	  $(LOCK_VENV)/bin/python -m pip install --quiet uv; \
	fi
	@echo "==> requirements.lock"
	@$(COMPILE) pyproject.toml -o requirements.lock
	@echo "==> requirements-dev.lock"
	@$(COMPILE) pyproject.toml --extra dev -c requirements.lock -o requirements-dev.lock

clean: ## remove everything that was made here
	rm -rf $(VENV) $(LOCK_VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
