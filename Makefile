PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# setuptools warns of every editable install, whatever it is.
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip --quiet --disable-pip-version-check
SETUP := $(VENV)/.installed
# tflite-runtime's last release needs a Python and a NumPy of its own.
OLD := .tflite-runtime
OLD_PYTHON ?= $(firstword $(foreach v,3.11 3.10 3.9,$(shell command -v python$(v))))
export MINILITE_TFLITE_RUNTIME_PYTHON ?= $(CURDIR)/$(OLD)/bin/python

.PHONY: demo test clean tflite-runtime

demo: $(SETUP)
	$(BIN)/python tools/demo.py --output demo

test: $(SETUP) $(OLD)/.tried
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(PYTEST_ARGS)

$(SETUP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade pip
	$(PIP) install --editable '.[test,demo]'
	$(PIP) install --editable '.[litert]' \
		|| echo 'LiteRT has no wheel for this machine: what is measured against it is skipped'
	$(PIP) install --editable '.[browser]' \
		|| echo 'Playwright has no wheel for this machine: reports are tested without a browser'
	touch $@

tflite-runtime:
	rm -rf $(OLD)
	$(MAKE) $(OLD)/.tried

$(OLD)/.tried:
	mkdir -p $(OLD)
	@{ test -n "$(OLD_PYTHON)" || { echo 'There is no Python 3.9 to 3.11 here (OLD_PYTHON= names one)'; false; }; } \
		&& $(OLD_PYTHON) -m venv $(OLD) \
		&& $(OLD)/bin/python -m pip --quiet --disable-pip-version-check \
			install tflite-runtime==2.14.0 'numpy<2' \
		|| { rm -f $(OLD)/bin/python; echo 'tflite-runtime cannot be set up: what is compared with it is skipped'; }
	touch $@

clean:
	rm -rf $(VENV) $(OLD) build dist demo .pytest_cache .mypy_cache .ruff_cache
