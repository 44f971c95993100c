# make run                                          trains the default
# make run ARGS="model=vgg16 seed=0,1,2 -m"         passes arguments on
# make test                                         all tests that need no GPU
# make bench                                        what needs no GPU, beside others; about 15 minutes on two quiet cores
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test test-fast check bench clean
run: $(VENV)/installed
	$(BIN)/python -m runner $(ARGS)

# Hundreds of processes import the same modules: byte code is kept here, also on machines that turn it off.
test test-fast: export PYTHONDONTWRITEBYTECODE =

test: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not gpu" $(ARGS)

test-fast: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/benchmarks
	$(BIN)/python benchmarks/start.py $(ARGS)
	$(BIN)/python benchmarks/step.py $(ARGS)
	$(BIN)/python benchmarks/data.py $(ARGS)
	$(BIN)/python benchmarks/epoch.py $(ARGS)
	$(BIN)/python benchmarks/sweep.py --jobs 10 $(ARGS)
	$(BIN)/python benchmarks/ddp.py $(ARGS)
	$(BIN)/python benchmarks/trajectory.py $(ARGS)

$(VENV)/benchmarks: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,bench]'
	touch $@

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
