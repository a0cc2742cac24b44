# `make report` and `make test` do everything; both build .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TOOLS := .tools
# The processes that tests start, a few hundred, would each compile the package again
unexport PYTHONDONTWRITEBYTECODE
# Debian keeps venv in a package of its own, which takes root to install
ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo -n)

# Tests of a file stay together, since they share servers; files run side by side. Many wait for an
# Engine or a server more than they compute, so there are two workers more than cores, and conftest.py
# hands out files of both kinds in turn.
PYTEST := $(BIN)/pytest --numprocesses $(shell expr $$(nproc) + 2) --dist loadfile --no-loadscope-reorder

# Doubles the processor time, so by hand it has to be asked for: make test CI=yes
COVERAGE := $(if $(CI),--cov --cov-report=)

# Tests write many small files, and wait until the disk has each. Those without servers need little
# room, and take it in memory where there are 2 GB that programs may be run from.
IN_MEMORY = $(if $(shell findmnt -no OPTIONS /dev/shm | grep -v noexec && \
  [ "$$(df --output=avail /dev/shm | tail -n 1)" -gt 2000000 ] && echo yes), PYTEST_DEBUG_TEMPROOT=/dev/shm)

.PHONY: report test test-modern test-machine test-python test-fast lint docs format lock fuzz guard soak audit clean

TIME := 60
SEED := 1
MODERN_SECONDS := 1500
PYTHON_SECONDS := 1800
PYTHON_TESTS := tests/unit
MACHINE_SECONDS := 3600
MACHINE_TESTS := tests/integration/docker tests/integration/changes tests/integration/collect \
  tests/integration/compliance tests/integration/operations
MODERN_TESTS := tests/integration/history tests/integration/docker tests/integration/collect \
  tests/integration/changes tests/integration/compliance tests/integration/operations

report: $(VENV)/runtime
	@$(BIN)/capacity report weekly --sample --as-of 2026-11-16 --quiet
	@$(BIN)/capacity report weekly --sample

test: $(VENV)/dev
	tools/system-packages $(TOOLS)
	$(PYTEST) $(COVERAGE)

# The tests of servers once more, on the next Debian's: Prometheus 3, Docker 28, Compose 2.40. It takes root.
test-modern: $(VENV)/dev
	tools/system-packages $(TOOLS)
	tools/modern-root $(TOOLS)/modern
	TEST_PROGRAMS=$(CURDIR)/$(TOOLS)/modern/bin timeout --signal=INT --kill-after=60 $(MODERN_SECONDS) \
	  $(PYTEST) --junitxml=$(TOOLS)/modern/junit.xml $(MODERN_TESTS)

# The tests of Engine and kernel on cgroup v2, in an emulated machine. It takes root.
test-machine: $(VENV)/dev
	tools/system-packages $(TOOLS)
	tools/modern-machine prepare $(TOOLS)/modern
	tools/modern-machine run $(TOOLS)/modern $(MACHINE_SECONDS) $(MACHINE_TESTS)

# The package and its unit tests on Python 3.12 to 3.14, as far as there are interpreters.
test-python: $(VENV)/dev
	tools/other-pythons $(TOOLS)/python $(PYTHON_SECONDS) --numprocesses logical --dist loadfile -q $(PYTHON_TESTS)

# What needs no other program, no kernel and no package build. It computes and waits for nothing, and
# each worker reads all tests first, so there are no more workers than cores.
test-fast: $(VENV)/dev
	$(IN_MEMORY) $(PYTEST) --numprocesses $(shell nproc) -o tmp_path_retention_policy=failed \
	  -m "not (program or engine or metrics or browser or slow)"

lint: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/nbstripout --verify --extra-keys "metadata.papermill cell.metadata.papermill metadata.language_info" notebooks/*.ipynb

# The documentation as a site, in site/; a link that leads nowhere is a failure.
docs: $(VENV)/dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs --quiet build --strict

# Broken input for every parser, for so many seconds: make fuzz TIME=600
fuzz: $(VENV)/dev
	$(BIN)/python -m tools.fuzz $(TIME)

# Work of the package beside a reference loop; fails when it takes 1.5 times what it took.
guard: $(VENV)/dev
	$(BIN)/python -m benchmarks.guard

# Everything at work on a real Engine with faults at random, 20 minutes or so many seconds: make soak TIME=60
soak: $(VENV)/dev
	tools/system-packages $(TOOLS)
	$(BIN)/python -m tests.soak --seconds $(if $(filter file,$(origin TIME)),1200,$(TIME)) --seed $(SEED)

# A bill of materials, and known vulnerabilities; without an index it says so.
audit: $(VENV)/dev
	$(BIN)/python -m tools.audit

format: $(VENV)/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Writes the locked requirements again; they name no index.
lock: $(VENV)/dev
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml $(LOCK) --output-file requirements/runtime.txt
	$(BIN)/uv pip compile pyproject.toml --extra monitor $(LOCK) --output-file requirements/monitor.txt
	$(BIN)/uv pip compile pyproject.toml --group dev $(LOCK) --output-file requirements/dev.txt

LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("capacity needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); $(ROOT) apt-get update -qq && $(ROOT) apt-get install -qq -y python3-venv >/dev/null 2>&1 && $(PYTHON) -m venv $(VENV); } || { echo "$(PYTHON) -m venv failed: install Debian's package python3-venv, then run make again"; exit 1; }

$(VENV)/runtime: requirements/runtime.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/dev: requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@ $(VENV)/runtime

clean:
	rm -rf $(VENV) $(TOOLS) dist build
