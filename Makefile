# The two commands of the README are `make bench` and `make test`. Each sets up what it needs.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
FRAMEWORKS ?= torch,tensorflow

.PHONY: bench test check report clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# A stamp a set of packages, remade when what they are made of changes.
$(VENV)/.bench: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[$(FRAMEWORKS)]'
	touch $@

$(VENV)/.test: $(VENV)/.bench requirements-dev.txt
	$(PIP) install --quiet --constraint constraints.txt --requirement requirements-dev.txt
	touch $@

# Measure the quick suite on every device found, then write the report of that run.
bench: $(VENV)/.bench
	$(BIN)/dlbench run quick --out results --and-report reports

report: $(VENV)/.bench
	$(BIN)/dlbench report results --out reports/all.html

test: $(VENV)/.test
	$(BIN)/python -m pytest

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build dist *.egg-info
