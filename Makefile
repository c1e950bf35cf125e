# Two commands matter: `make demo` and `make test`. Without make: create a virtual environment,
# `pip install -r requirements.txt`, and run the lines of the target by hand.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
WORKERS ?= 2
RUN ?= runs/dates
EXPORT ?= saved_models/dates

BIN := $(VENV)/bin
TRANSLATION := $(BIN)/python -m pipelines.translation
# One thread a process: the processes already keep every core busy.
PYTEST := TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --durations 25 --durations-min 5

.PHONY: help venv demo test check lint format reproduce clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

venv: $(VENV)/.development  ## create the virtual environment, with the tools for development

$(VENV)/.runtime: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --quiet -r requirements.txt
	@touch $@

$(VENV)/.development: requirements-dev.txt $(VENV)/.runtime
	$(BIN)/pip install --disable-pip-version-check --quiet -r requirements-dev.txt
	@touch $@

# --resume: interrupted, it goes on from the last checkpoint when it is run again.
demo: $(VENV)/.runtime  ## train on generated dates, evaluate, export, translate with the export
	$(TRANSLATION) train --run $(RUN) --resume
	$(TRANSLATION) evaluate --run $(RUN)
	$(TRANSLATION) export --run $(RUN) --output $(EXPORT)
	printf '%s\n' 'Monday, May 3, 2021' '3. Mai 2021' '3 mai 2021' '2021年5月3日' \
	    | $(TRANSLATION) predict --saved-model $(EXPORT)

test: $(VENV)/.development  ## the tests: twelve to fifteen minutes on 2 cores
	$(PYTEST) -m "not slow"

# On JAX: all of the numerics, and every layer's contract and oracle. The other tests of layers also
# pass there: KERAS_BACKEND=jax pytest tests/cells.
check: $(VENV)/.development  ## what takes longer: the layers on JAX, then the slow tests
	KERAS_BACKEND=jax $(PYTEST) -m "not slow" tests/ops tests/keras_drop_in
	KERAS_BACKEND=jax $(PYTEST) -m "covers and not slow" tests/attention tests/blocks tests/cells tests/heads
	$(PYTEST) -m slow

lint: $(VENV)/.development  ## style and likely bugs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.development  ## put the code into the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reproduce: $(VENV)/.runtime  ## train a row of docs/results.md from scratch: make reproduce NAME=...
	$(BIN)/python -m pipelines.reproduce $(NAME)

clean:  ## remove the virtual environment and caches; runs and exports stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .jax_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
