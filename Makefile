# The two commands of the README are `make demo` and `make test`; both set everything up first.
PYTHON ?= python3.11
VENV ?= .venv
BIN = $(VENV)/bin
EXTRAS ?= viewer,test
WORKERS ?= 2

.PHONY: setup demo test test-slow lint clean

setup: $(VENV)/.installed

$(VENV)/.installed: setup.cfg pyproject.toml tests/oracles.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[$(EXTRAS)]"
	$(if $(findstring test,$(EXTRAS)),$(BIN)/python -m pip install --quiet --no-deps --requirement tests/oracles.txt)
	touch $@

demo: setup
	$(BIN)/smoothsal demo

# The networks of the tests are so small that threads cost more than they gain.
test test-slow: export OMP_NUM_THREADS ?= 1

# A file's tests stay with one worker: they share what is slow to make. Each worker starts its own
# Xvfb.
PARALLEL = --numprocesses $(WORKERS) --dist loadfile

# Drawing needs a GL context: Xvfb (started by the tests) and Mesa, from Debian where they miss.
test: setup
	sh tests/install_display.sh
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not gpu"

test-slow: setup
	sh tests/install_display.sh
	$(BIN)/python -m pytest $(PARALLEL)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict napari_smoothsal
	$(BIN)/lint-imports
	$(BIN)/npe2 validate napari-smoothsal

clean:
	rm -rf $(VENV) demo build dist *.egg-info
