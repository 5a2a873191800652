# Every target sets itself up: a machine with python3, pip and make is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(PYTHON) -m pip --disable-pip-version-check --python $(BIN)/python install --quiet
PEERS := .venv-bench
ROUTINES := hatch_build.py src/millrace/native/build.py src/millrace/native/source $(wildcard src/millrace/native/source/*)

.PHONY: docs screenshots site train test test-slow soak check cpp bench bench-gpu bench-input format lint types parity lock clean

train: $(VENV)/.run  ## train a convolutional network on handwritten digits and write a report
	$(BIN)/millrace train $(ARGS)

test: $(VENV)/.dev  ## the whole test suite, but for what is marked slow, in as many processes as there are cores
	$(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile $(ARGS)

test-slow: $(VENV)/.dev  ## only what is marked slow
	$(BIN)/python -m pytest -m slow $(ARGS)

soak: $(VENV)/.dev  ## kill training runs at a hundred random moments: they must end with the same bits
	MILLRACE_KILLS=$${MILLRACE_KILLS:-100} $(BIN)/python -m pytest tests/training/test_killed.py $(ARGS)

check: $(VENV)/.dev  ## format, lint, types, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile $(ARGS)

cpp: $(VENV)/.dev  ## the C++ interface: built in build/cpp, and held against Python
	@command -v cmake >/dev/null || { echo "make cpp needs CMake 3.16 or newer: apt install cmake, or brew install cmake" >&2; exit 1; }
	@command -v "$${CXX:-c++}" >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || \
	  { echo "make cpp needs a compiler for C++17: apt install g++, or xcode-select --install" >&2; exit 1; }
	cmake -S cpp -B build/cpp
	MAKEFLAGS=--no-print-directory cmake --build build/cpp --parallel
	$(BIN)/python -m pytest tests/cpp $(ARGS)

bench: $(VENV)/.dev $(PEERS)/.ready  ## speed and memory beside PyTorch, Keras and JAX, in one table
	$(BIN)/python -m benchmarks $(ARGS)

bench-gpu: $(VENV)/.run $(PEERS)/.ready  ## AlexNet's training step on a GPU beside PyTorch, and its share of the peak
	$(BIN)/python -m benchmarks.gpu $(ARGS)

bench-input: $(VENV)/.run $(PEERS)/.ready  ## speed of input beside PyTorch's DataLoader, tf.data and Grain
	$(BIN)/python -m benchmarks.input $(ARGS)

# The peers have an environment of their own, so that their versions and Millrace's do not have to agree.
$(PEERS)/.ready: requirements/bench.txt
	@echo "Setting up $(PEERS) with PyTorch, TensorFlow, Keras, JAX and Grain (at least 3 GB the first time)"
	$(PYTHON) -m venv --without-pip $(PEERS)
	$(PYTHON) -m pip --disable-pip-version-check --python $(PEERS)/bin/python install --quiet -r requirements/bench.txt
	@touch $@

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(VENV)/.dev
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/mypy

# The fixtures of the parity tests are committed; this makes them anew (torch 2.13.0, CPU, Keras 3.15.1, onnxscript 0.7.2).
parity: $(VENV)/.dev
	$(BIN)/python -c "import torch" 2>/dev/null || $(PIP) torch==2.13.0
	$(BIN)/python -c "import keras" 2>/dev/null || $(PIP) keras==3.15.1
	$(BIN)/python -c "import onnxscript" 2>/dev/null || $(PIP) onnxscript==0.7.2
	for maker in tests/parity/make_*.py; do KERAS_BACKEND=jax $(BIN)/python $$maker || exit 1; done

# The locks hold for Python 3.11 to 3.14 and every platform.
lock: $(VENV)/.dev
	$(PIP) uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy requires-python \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements/run.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy requires-python \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml --extra dev \
	  -c requirements/run.txt -o requirements/dev.txt

# --without-pip: the venv is filled by the pip that is there, so no ensurepip is needed.
$(BIN)/python:
	$(PYTHON) -m venv --without-pip $(VENV)

# Installing compiles the routines in C, too, so that it is done again where they have changed: after a `git pull`, say.
$(VENV)/.run: requirements/run.txt requirements/build.txt pyproject.toml $(ROUTINES) | $(BIN)/python
	@echo "Setting up $(VENV) (about 750 MB the first time)"
	$(PIP) -r requirements/run.txt -r requirements/build.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m millrace.native
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	$(PIP) -r requirements/dev.txt
	@touch $@

docs: $(VENV)/.dev  ## the references of operations and of layers
	$(BIN)/python -m millrace.explain.reference docs
	$(BIN)/python -m tests.inference.onnx_backend docs/onnx.md

site: $(VENV)/.dev  ## the documentation as a site, with a reference of every name, in build/site
	$(BIN)/python -m website $(ARGS)

screenshots: $(VENV)/.dev  ## the pictures of `millrace look` in the documentation (it needs chromium)
	$(BIN)/python -m tests.look.screenshots $(ARGS)

clean:
	rm -rf $(VENV) $(PEERS) src/millrace/native/built build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
