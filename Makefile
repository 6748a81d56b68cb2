# Every target makes `.venv` if it is not there; a second call reuses it.
RELEASES := $(if $(PYTHON),$(PYTHON),python3.12 python3.13 python3.14)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOG := $(VENV)/install.log
PIP := $(BIN)/pip install --disable-pip-version-check --retries 2 --constraint constraints.txt
# pip's own words go to a file; whoever has no network gets one line.
OR_SAY := || { echo "error: the installation failed; it needs a network that reaches the Python package index (details: $(LOG))" >&2; exit 1; }

.PHONY: demo test test-all test-release test-quick lint bench-setup clean

demo: $(VENV)/.ready
	@$(BIN)/wsjax demo

# Files of PyTorch, safetensors and HDF5 are read too, and the benchmarks run against PyTorch.
# All laws, at their smallest.
test: $(VENV)/.ready-bench
	@$(BIN)/python -m pytest tests wsjax -m "not slow"

# Besides these what is slow by nature: kills, notebooks, the demonstration, sizes that users have.
test-all: test
	@$(BIN)/python -m pytest tests wsjax -m slow

# The quick tests under other versions of Python, those on the path or PYTHON; without PyTorch, whose wheels for them are
# gigabytes, and so without the tests that compare with it.
test-release:
	@MAKE="$(MAKE)" sh tools/release.sh $(RELEASES)

test-quick: $(VENV)/.ready-test
	@$(BIN)/python -m pytest tests wsjax -m "not slow" --ignore=tests/benchmarks --ignore=tests/data/formats

# Types are checked through the optional packages too.
lint: $(VENV)/.ready-bench
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports

bench-setup: $(VENV)/.ready-bench

$(VENV)/.ready: pyproject.toml constraints.txt
	@PYTHON="$(PYTHON)" sh tools/venv.sh $(VENV)
	@echo "installing wsjax and its dependencies into $(VENV) ..."
	@$(PIP) --editable . > $(LOG) 2>&1 $(OR_SAY)
	@touch $@

$(VENV)/.ready-test: $(VENV)/.ready
	@echo "installing the tools for tests ..."
	@$(BIN)/pip install --disable-pip-version-check --retries 2 'pip>=25.1' > $(LOG) 2>&1 $(OR_SAY)
	@$(PIP) --editable '.[formats]' --group test > $(LOG) 2>&1 $(OR_SAY)
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready-test
	@echo "installing the tools for lint ..."
	@$(PIP) --group dev > $(LOG) 2>&1 $(OR_SAY)
	@touch $@

$(VENV)/.ready-bench: $(VENV)/.ready-dev
	@echo "installing PyTorch (CPU), h5py and safetensors ..."
	@$(PIP) --editable '.[torch,formats]' > $(LOG) 2>&1 $(OR_SAY)
	@touch $@

clean:
	rm -rf $(VENV) .venv-* .pytest_cache .ruff_cache .hypothesis
