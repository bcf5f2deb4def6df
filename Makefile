# Everything here needs Python (3.11 or later, with its venv module), make, and a package index that pip can reach.
# Nothing is installed outside the checkout: it all goes into VENV. `make clean` removes .venv and every .venv-*.

PYTHON ?= python3
VENV   ?= .venv
TESTS  ?= tests
JOBS   ?= 3
ARGS   ?=

SHELL       := /bin/sh
BIN         := $(VENV)/bin
PIP_INSTALL := "$(BIN)/python" -m pip install -qq --disable-pip-version-check --no-input
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.NOTPARALLEL:  # two pips at work in one environment would spoil it

# A virtual environment knows its own path and its interpreter: moved or given another PYTHON, it is made anew.
export MADE_OF := $(CURDIR) $(PYTHON)
ifneq '$(MADE_OF)' '$(shell cat "$(VENV)/made-of" 2>/dev/null)'
.PHONY: $(VENV)/made-of
endif

.PHONY: help run cluster test soak check coverage oldest compare bench wheel clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*##  */  make \1|/p' Makefile | awk -F'|' '{ printf "%-18s%s\n", $$1, $$2 }'
	@echo
	@echo '  PYTHON=python3.12 VENV=.venv-3.12 choose another interpreter and a place for it; ARGS="..." go to the'
	@echo '  program that the target runs; TESTS="tests.wire tests.chat" are the tests for test and coverage.'

run: $(VENV)/installed-run  ## start the server in the foreground (Ctrl-C ends it)
	@exec "$(BIN)/twistd" -n --pidfile= echochat $(ARGS)

cluster: $(VENV)/installed-cluster  ## start servers for all processors, their broker, and a balancer in front
	@exec "$(BIN)/twistd" -n --pidfile= echochat-cluster $(ARGS)

test: $(VENV)/installed-test  ## run the whole test suite, in JOBS=3 processes
	@exec "$(BIN)/python" -m twisted.trial $(JOBS:%=-j%) $(ARGS) $(TESTS)

check: $(VENV)/installed-check  ## formatting, lint, types, and what may import what
	"$(BIN)/python" -m ruff format --check .
	"$(BIN)/python" -m ruff check .
	"$(BIN)/python" -m mypy
	"$(BIN)/lint-imports"

soak: $(VENV)/installed-test  ## the long tests: an hour (ARGS="soak.test_promise" are those of one module)
	@exec "$(BIN)/python" -m twisted.trial $(or $(ARGS),soak)

coverage: $(VENV)/installed-test  ## branch coverage of the suite; wire and chat must have all of it
	@"$(BIN)/python" -m coverage erase
	"$(BIN)/python" -m coverage run -m twisted.trial $(ARGS) $(TESTS)
	@"$(BIN)/python" -m coverage report --skip-covered --skip-empty
	"$(BIN)/python" -m coverage report --skip-covered --show-missing --fail-under=100 --include='echochat/wire/*,echochat/chat/*'

oldest:  ## the suite on the oldest versions that pyproject.toml allows; they are for Python 3.11
	@$(MAKE) --no-print-directory VENV=.venv-oldest .venv-oldest/installed-oldest
	@exec .venv-oldest/bin/python -m twisted.trial $(ARGS) $(TESTS)

compare: $(VENV)/installed-test  ## the balancer's scenarios on echochat-lb, HAProxy and nginx: who passes what
	@exec "$(BIN)/python" -m tests.balancer.scenarios.compare $(ARGS)

bench: $(VENV)/installed-bench  ## side-by-side benchmarks (ARGS=--help tells what can be chosen)
	@exec "$(BIN)/python" -m bench $(ARGS)

# build/ keeps what an earlier wheel was made of, and setuptools would put even deleted modules into the next one.
wheel: $(VENV)/made-of  ## build the wheel into dist/
	@rm -rf build dist
	@"$(BIN)/python" -m pip wheel -qq --disable-pip-version-check --no-input --no-deps --wheel-dir dist .
	@rm -rf build
	@ls dist/*.whl

clean:  ## remove what the other targets made, virtual environments included
	rm -rf .venv .venv-* .bench build dist *.egg-info _trial_temp* .coverage* .hypothesis
	rm -rf .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f twisted/plugins/dropin.cache twistd.log* twistd.pid

# Only a folder that is a virtual environment already is cleared: VENV may be set to anything.
$(VENV)/made-of:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "echochat needs Python 3.11 or later; this is " + sys.version)'
	@echo 'Making the virtual environment $(VENV) ...'
	@if [ -e "$(VENV)/pyvenv.cfg" ]; then "$(PYTHON)" -m venv --clear "$(VENV)"; else "$(PYTHON)" -m venv "$(VENV)"; fi
	@printf '%s' "$$MADE_OF" > "$@"

$(VENV)/installed-run: WHAT := .
$(VENV)/installed-cluster: WHAT := .[cluster]
$(VENV)/installed-test: WHAT := .[test]
$(VENV)/installed-check: WHAT := .[test,check,bench]
$(VENV)/installed-bench: WHAT := .[bench]

FLOORS := import re, tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	wanted = project["dependencies"] + project["optional-dependencies"]["test"]; \
	print(*(re.sub("\[.*\]", "", line).replace(">=", "==") for line in wanted), sep="\n")

$(VENV)/installed-oldest: $(VENV)/made-of pyproject.toml
	@echo 'Installing the oldest versions in $(VENV) ...'
	@"$(BIN)/python" -c '$(FLOORS)' > "$(VENV)/floors.txt"
	@$(PIP_INSTALL) --constraint "$(VENV)/floors.txt" --editable '.[test]'
	@touch "$@"

$(VENV)/installed-%: $(VENV)/made-of pyproject.toml
	@echo 'Installing echochat for "make $*" in $(VENV) ...'
	@$(PIP_INSTALL) --editable '$(WHAT)'
	@touch "$@"
