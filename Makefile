# On a machine with Python 3.11 to 3.13 and make:
#   make demo    solve a Poisson problem and train a MgNet, with tables and figures
#   make test    all tests
#   make lecture the lecture's live pages in a browser
# PYTHON=python3.12 chooses another interpreter for the environment in .venv.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: demo test lint lecture bench docs clean

demo: $(VENV)/installed
	$(RUN) -m examples.demo

# Two processes, as many as the smallest machine has cores, whose threads sleep while they wait; a
# file's tests share what they set up.
test: $(VENV)/installed
	OMP_WAIT_POLICY=passive $(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/installed
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

lecture: $(VENV)/installed
	$(RUN) -m marimo run docs/lecture

bench: $(VENV)/installed
	$(RUN) -m benchmarks.convergence
	$(RUN) -m benchmarks.precision
	$(RUN) -m benchmarks.smoothers
	$(RUN) -m benchmarks.poisson
	$(RUN) -m benchmarks.operators
	$(RUN) -m benchmarks.sizes
	$(RUN) -m benchmarks.repeated
	$(RUN) -m benchmarks.coarsest
	$(RUN) -m benchmarks.batches
	$(RUN) -m benchmarks.busy
	$(RUN) -m benchmarks.training --compile

docs: $(VENV)/installed
	$(RUN) -m pip install --quiet -e '.[docs]'
	$(RUN) -m sphinx -W --keep-going -b html docs docs/_build

$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

clean:
	rm -rf $(VENV) docs/_build docs/live docs/reference/modules figures results
	find . -name __pycache__ -prune -exec rm -rf {} +
