# Every target makes `.venv` if it is not there; a second call reuses it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint bench-setup clean

demo: $(VENV)/.ready
	@$(BIN)/wsjax demo

test: $(VENV)/.ready-dev
	@$(BIN)/python -m pytest tests wsjax

lint: $(VENV)/.ready-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports

bench-setup: $(VENV)/.ready-bench

$(VENV)/.ready: pyproject.toml constraints.txt
	@PYTHON="$(PYTHON)" sh tools/venv.sh $(VENV)
	@echo "installing wsjax and its dependencies into $(VENV) ..."
	@$(PIP) --editable . || { echo "error: the installation failed: it needs a network that reaches the Python Package Index (see the lines above)" >&2; exit 1; }
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	@echo "installing the tools for tests and lint ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check 'pip>=25.1'
	@$(PIP) --group dev || { echo "error: the installation failed: it needs a network that reaches the Python Package Index (see the lines above)" >&2; exit 1; }
	@touch $@

$(VENV)/.ready-bench: $(VENV)/.ready-dev
	@echo "installing PyTorch (CPU) for the benchmarks ..."
	@$(PIP) --editable '.[torch]'
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
