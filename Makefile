# `make demo` and `make test` set everything up first: all they need is Python 3.11 or newer.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.installed
TYPES := build/types/h3c
DEMO := build/demo
PYTEST_ARGS ?= -n auto --maxprocesses 4 --dist worksteal
SOURCES := compiler dialects passes runtime_sim tests benchmarks models

.PHONY: demo test lint types format lock bench clean
.DELETE_ON_ERROR:

demo: $(READY)
	@mkdir -p $(DEMO)
	$(BIN)/h3c models/digits_cnn.onnx --target h3pimap --dim batch=1 -o $(DEMO)/plan.mlir
	$(BIN)/h3c-sim $(DEMO)/plan.mlir --inputs image=models/digits.npz:x_test -o $(DEMO)/logits.npz --trace $(DEMO)/trace.json \
	  --summary $(DEMO)/run.json --quiet
	@$(BIN)/python models/demo.py $(DEMO)

test: lint types
	$(BIN)/pytest $(PYTEST_ARGS)

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY) $(TYPES)
	$(BIN)/pyright

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# The figures of speed and prediction; models from the folder H3C_MODELS.
bench: $(READY)
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/prediction.py

$(READY): requirements.lock pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

# The target is pip, not python: a Python without ensurepip leaves a folder without it, and the next call tries again.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "h3c needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv

# Tests say `from h3c...`: this link is where pyright finds that name, whatever the checkout is called.
$(TYPES):
	@mkdir -p $(@D)
	ln -sfn ../.. $@

# Pins stay as they are unless UPGRADE=--upgrade; uv is needed for nothing else, so it gets a venv of its own.
lock: build/uv/bin/uv
	build/uv/bin/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --fork-strategy fewest \
	  --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
	  --quiet $(UPGRADE) -o requirements.lock

build/uv/bin/uv:
	$(PYTHON) -m venv build/uv
	build/uv/bin/pip install --quiet --disable-pip-version-check uv

clean:
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis *.egg-info
	find $(SOURCES) -name __pycache__ -prune -exec rm -rf {} +
