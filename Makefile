PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The extras a machine can install; LiteRT has no wheel for every platform, so it may be absent.
SETUP := $(VENV)/.installed

.PHONY: demo test clean

demo: $(SETUP)
	$(BIN)/python tools/demo.py --output demo

test: $(SETUP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(PYTEST_ARGS)

$(SETUP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[test,demo]'
	$(BIN)/python -m pip install --quiet --editable '.[litert]' \
		|| echo 'LiteRT has no wheel for this machine: what is measured against it is skipped'
	touch $@

clean:
	rm -rf $(VENV) build dist demo .pytest_cache .mypy_cache .ruff_cache
