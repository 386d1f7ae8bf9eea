PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# setuptools warns of every editable install, whatever it is.
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip --quiet --disable-pip-version-check
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
	$(PIP) install --upgrade pip
	$(PIP) install --editable '.[test,demo]'
	$(PIP) install --editable '.[litert]' \
		|| echo 'LiteRT has no wheel for this machine: what is measured against it is skipped'
	touch $@

clean:
	rm -rf $(VENV) build dist demo .pytest_cache .mypy_cache .ruff_cache
