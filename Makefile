# The README's two commands are `make bench` and `make test`. Each sets up what it needs.

PYTHON ?= python3
VENV ?= .venv
# What `make bench` installs and measures, by the names that `dlbench list` shows.
FRAMEWORKS ?= pytorch,tensorflow
EXTRAS := $(subst pytorch,torch,$(subst onnxruntime,onnx,$(FRAMEWORKS)))
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: bench test browser check report example gpu clean

# Measure the quick suite on every device found, and write the report of that run.
bench: $(VENV)/.bench
	$(BIN)/dlbench run quick --framework $(FRAMEWORKS) --report reports

# All tests: unit, property, fault, conformance, golden, frameworks, end to end. Those that measure time run alone.
BESIDE ?= --numprocesses auto --maxprocesses 4 --dist loadgroup
test: $(VENV)/.dev browser
	$(BIN)/python -m pytest -m "not alone" $(BESIDE); beside=$$?; \
	$(BIN)/python -m pytest -m alone && exit $$beside

# The report's tests need a Chromium: found, else installed where that is allowed, else said.
BROWSERS := chromium chromium-browser google-chrome google-chrome-stable microsoft-edge chrome
browser:
	@for name in $(BROWSERS); do command -v $$name >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing Chromium for the report's tests"; \
		apt-get update -qq >/dev/null; apt-get install -y -qq chromium >/dev/null && exit 0; fi; \
	echo "no Chromium: the report's browser tests will be skipped (Debian: apt install chromium)"

# Style, types, layers.
check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# One report over everything in results/.
report: $(VENV)/.bench
	$(BIN)/dlbench report results --out reports/all.html

# The report that the repository shows, of these documents; a test holds it to them.
EXAMPLE := results/20261124T050843Z-amd-epyc-2c-eec169.json results/20261126T004059Z-amd-epyc-2c-cd74d3.json
example: $(VENV)/.bench
	$(BIN)/dlbench report $(EXAMPLE) --out reports/example.html

# Acceptance on a real NVIDIA card, with a Python that has torch and dlbench's packages; nothing is
# installed. Without a card it ends with 6 and accepts nothing. See docs/gpu-acceptance.md.
GPU_PYTHON ?= $(BIN)/python
GPU_OUT ?= build/gpu-acceptance
GPU_SOAK_S ?= 600
GPU_ONLY ?=
gpu:
	$(GPU_PYTHON) -m tests.gpu --out $(GPU_OUT) --soak-s $(GPU_SOAK_S) $(if $(GPU_ONLY),--only $(GPU_ONLY))

clean:
	rm -rf $(VENV) build dist *.egg-info

# A stamp for each set of packages, remade when what it is made of changes.
$(VENV)/.bench: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) --editable '.[$(EXTRAS)]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) --editable '.[all,dev]'
	touch $@ $(VENV)/.bench

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
