# make setup   the environment alone: .venv with all that the commands below need
# make demo    a real tritonserver classifies emoji, and a collection of emoji is searched
# make lint    ruff, mypy and the directions of imports: under a minute, so run it first
# make test    the whole test suite, against the real tritonserver (ARGS=... for pytest)
# make test-long   the same, with four times the tries of each test of random inputs
# make test-page   the page, in a real Chromium of this machine
# make test-library PYTHON=python3.13   what needs no tritonserver, on another Python
# make test-client PYTHON=python3.10    of the client what needs neither tritonserver nor align-zoo
# make test-clients   the same on every Python from 3.10 to 3.14 that this machine has
# make docs   the site of all documents: build/site/index.html, with a search that works offline
# make reference   what the documents have from the code and from the results files, again
# make test-neighbours   folders and installation beside other versions and neighbours (asks PyPI)
# make test-newcomer   the uses of docs/first-hour.md, command by command from a clean clone
# make test-upgrade   what the last release wrote and runs, under this code (needs git's history)
# make test-integrations   the adapters for other libraries, with the real packages (asks PyPI)
# make bench   both towers and the server beside their peers: table, JSON, chart (an hour; ARGS=...)
# make growth  the server against labels, image size, callers and time (ARGS=...)
# make chaos   faults, overload and a soak against the service: a table (7 minutes; ARGS=...)
# make fuzz    mutated images, odd strings and odd requests by the thousand (25 minutes; ARGS=...)
# make audit   known vulnerabilities of the versions in constraints.txt (asks PyPI)
# make release all of a release up to the upload (docs/releasing.md)
# make rehearsal   the same of any commit, without the tests
# make constraints   renew constraints.txt with today's versions; PYTHON=python3.13: its own file
# make clean   remove .venv and what the tools left

VENV := .venv
BIN := $(VENV)/bin

# The first that runs and fits; `make PYTHON=...` names another.
FITS := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(shell for python in python3.11 python3.12 python3; do \
	$$python -c '$(FITS)' 2>/dev/null && echo $$python && break; done)

# Python compiles a module when it is first imported. pip would compile all of them: a third of the
# time of an installation.
export PIP_COMPILE := 0

# Both: older pips read the first for the packages that build ours, newer ones the second.
PIP_INSTALL := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
	$(BIN)/python -m pip install --disable-pip-version-check --quiet
PINS := pyproject.toml client/pyproject.toml constraints.txt

.PHONY: setup demo test test-long test-library test-client test-clients test-page \
	test-neighbours test-integrations test-newcomer test-upgrade lint docs \
	reference bench growth chaos fuzz audit release rehearsal constraints clean

setup: $(VENV)/.setup

demo: setup
	@$(BIN)/align-zoo demo

# Environments of other versions, made under build/ when they are first needed.
NEIGHBOURS := tests/neighbours
INTEGRATIONS := tests/integrations
PAGE := tests/page
NEWCOMER := tests/newcomer
UPGRADE := tests/upgrade
ELSEWHERE := $(addprefix --ignore=,$(NEIGHBOURS) $(INTEGRATIONS) $(PAGE) $(NEWCOMER) $(UPGRADE))
PYTEST := $(BIN)/python -m pytest $(ELSEWHERE)

# Tests that start a tritonserver (tests/support/served.py gives them the mark `served`) do not run
# beside those that compute for minutes: Triton gives up a model that is silent for a second. Both
# kinds wait for a part of their time, so three run at once. Tests with bounds of time under load
# carry the mark `alone`.
test: $(VENV)/.test-tools
	$(PYTEST) --numprocesses 3 --dist loadfile -m "not hub and not served and not alone" $(ARGS)
	$(PYTEST) --numprocesses 3 --dist loadfile -m "served and not alone" $(ARGS)
	$(PYTEST) -m alone $(ARGS) $$(grep -rl --include=test_*.py mark.alone tests)

test-long: ARGS += --hypothesis-profile=long
test-long: test

test-page: $(VENV)/.test-tools
	$(BIN)/python -m pytest $(PAGE) $(ARGS)

test-neighbours: $(VENV)/.test-tools
	$(BIN)/python -m pytest $(NEIGHBOURS) --numprocesses 2 --dist loadfile $(ARGS)

test-upgrade: $(VENV)/.test-tools
	$(BIN)/python -m pytest $(UPGRADE) $(ARGS)

test-newcomer: $(VENV)/.test-tools
	$(BIN)/python -m pytest --verbose $(NEWCOMER) $(ARGS)

# By name, so that a log of CI says which adapters were tried.
test-integrations: $(VENV)/.test-tools
	$(BIN)/python -m pytest --verbose $(INTEGRATIONS) $(ARGS)

# Pinned as setup is, but without the extra `server`, which is bound to Python 3.12.
VERSION = $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
CONSTRAINTS = $(or $(wildcard constraints-$(VERSION).txt),constraints.txt)
LIBRARY = build/library-$(VERSION)
test-library:
	@echo "installing the library and its test tools into $(LIBRARY) ..."
	@test -x $(LIBRARY)/bin/python || $(PYTHON) -m venv $(LIBRARY)
	@PIP_CONSTRAINT=$(CONSTRAINTS) PIP_BUILD_CONSTRAINT=$(CONSTRAINTS) $(LIBRARY)/bin/python -m pip \
		install --disable-pip-version-check --quiet --editable ".[gateway,test]" --editable ./client
	$(LIBRARY)/bin/python -m pytest $(ELSEWHERE) --ignore=tests/benchmarks \
		--numprocesses 2 --dist loadfile -m "not hub and not served and not triton" $(ARGS)

# Not pinned: a client lives in environments of others, at whatever versions they have.
CLIENT = build/client-$(VERSION)
test-client:
	@echo "installing the client and its test tools into $(CLIENT) ..."
	@test -x $(CLIENT)/bin/python || $(PYTHON) -m venv $(CLIENT)
	@$(CLIENT)/bin/python -m pip install --disable-pip-version-check --quiet --editable "./client[test]"
	$(CLIENT)/bin/pytest tests/client --numprocesses 4 --dist loadfile \
		-m "not hub and not served" $(ARGS)

# pyenv's python3.10 is there even where it runs nothing, so look into its folder, too.
PYENV := $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions
test-clients:
	@for version in 3.10 3.11 3.12 3.13 3.14; do \
		for python in "python$$version" $(PYENV)/"$$version".*/bin/python; do \
			"$$python" -c 'import ensurepip, venv' 2>/dev/null && break || python=; \
		done; \
		if test -n "$$python"; then \
			$(MAKE) --no-print-directory test-client PYTHON="$$python" || exit 1; \
		else \
			echo "the client is not tested on Python $$version: no such interpreter" >&2; \
		fi; \
	done

lint: $(VENV)/.test-tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

docs: $(VENV)/.docs-tools
	@rm -rf build/site
	@$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --conf-dir docs . build/site
	@echo "build/site/index.html"

reference: $(VENV)/.docs-tools
	@$(BIN)/python docs/reference.py
	@$(BIN)/python -m benchmarks.published

bench: $(VENV)/.test-tools
	@$(BIN)/python -m benchmarks $(ARGS)

growth: $(VENV)/.test-tools
	@$(BIN)/python -m benchmarks.growth $(ARGS)

chaos: $(VENV)/.test-tools
	@$(BIN)/python -m benchmarks.chaos $(ARGS)

fuzz: $(VENV)/.test-tools
	@PYTHONPATH=tests/support $(BIN)/python -m fuzz $(ARGS)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "align-zoo needs Python 3.11 or 3.12 with venv:" \
		"none of python3.11, python3.12 and python3 fits" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.setup: $(PINS) | $(BIN)/python
	@echo "installing the environment into $(VENV) (some minutes the first time) ..."
	@$(PIP_INSTALL) --editable ".[server,collection,train]" --editable ./client
	@touch $@

# The environment is part of it: one installation is enough for both.
$(VENV)/.test-tools: $(PINS) | $(BIN)/python
	@echo "installing the environment and the test tools into $(VENV) (some minutes the first time) ..."
	@$(PIP_INSTALL) --editable ".[server,test]" --editable ./client
	@touch $(VENV)/.setup $@

$(VENV)/.docs-tools: $(VENV)/.setup
	@echo "installing the tools of the site into $(VENV) ..."
	@$(PIP_INSTALL) --editable ".[docs]"
	@touch $@

# Of exactly the versions in constraints.txt; one that could not be asked about is a failure.
audit:
	@test -x build/audit/bin/pip-audit || { $(PYTHON) -m venv build/audit && \
		build/audit/bin/python -m pip install --quiet pip-audit; }
	build/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt $(ARGS)

release: $(VENV)/.test-tools
	@PYTHONPATH=tests/support $(BIN)/python -m release $(ARGS)

rehearsal: ARGS = --rehearse
rehearsal: release

constraints: EXTRAS = $(if $(filter 3.11 3.12,$(VERSION)),server,gateway)
constraints:
	rm -rf build/constraints
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --upgrade "setuptools>=77" ".[$(EXTRAS),test]" ./client
	sed '/^[^#]/d' $(CONSTRAINTS) > build/constraints.txt
	build/constraints/bin/python -m pip freeze --all --exclude pip \
		--exclude align-zoo --exclude align-client >> build/constraints.txt
	mv build/constraints.txt $(CONSTRAINTS)
	rm -rf build/constraints

clean:
	rm -rf $(VENV) build dist client/build client/dist .pytest_cache .hypothesis .ruff_cache .mypy_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
	rm -rf *.egg-info client/*.egg-info
