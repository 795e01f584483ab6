# The two commands of the README: `make demo` and `make test`. Each sets up all it needs and asks nothing.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup rendering demo test lint types adapters unit fuzz ros lock clean

# The first of these that is Python 3.11 or 3.12; on Ubuntu 24.04 that is ROS 2's own interpreter.
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && { command -v $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := glue_perception glue_policy glue_bringup
ROS_SETUP ?= /opt/ros/jazzy/setup.bash

help:
	@echo "make demo    a simulated Franka presses a button by a learnt policy; look at out/demo/"
	@echo "make test    ruff, mypy and all tests; with ROS 2 Jazzy installed also colcon and its tests"
	@echo "make setup   the virtual environment alone        make lock   write requirements.lock anew"

setup: $(VENV)/.ready rendering

$(VENV)/.ready: requirements.lock $(PACKAGES:%=src/%/pyproject.toml)
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or 3.12 found; install one (Ubuntu 24.04: apt install python3 python3-venv)"; exit 1; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version); the first time takes some minutes"
	@$(PYTHON) -m venv $(VENV) || { echo "error: cannot make a virtual environment; install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock 2> >(grep -v '^WARNING: Location' >&2)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(PACKAGES:%=-e src/%) 2> >(grep -v '^WARNING: Location' >&2)
	@touch $@

rendering: $(VENV)/.ready
	@bash scripts/install_rendering.sh $(BIN)/python

demo: setup
	@$(BIN)/glue demo --output out/demo

test: setup lint types adapters unit fuzz ros

lint: $(VENV)/.ready
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/.ready
	@$(BIN)/mypy

# The adapters of segment-anything, open_clip_torch and groundingdino-py, in environments of their own.
adapters: $(VENV)/.ready
	@bash scripts/test_authors_packages.sh "$(CURDIR)/$(BIN)"

unit: $(VENV)/.ready
	@$(BIN)/python -m pytest -q --durations=10

# 100,000 random, adversarial and malformed chunks, and not one limit exceeded.
fuzz: $(VENV)/.ready
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python scripts/fuzz_executor.py --chunks 100000

# The second depth of the tests: where ROS 2 is found, the workspace is built by colcon and what needs ROS is run.
ros: $(VENV)/.ready
	@if [ -f "$(ROS_SETUP)" ]; then bash scripts/test_with_ros.sh "$(ROS_SETUP)" "$(CURDIR)/$(BIN)"; \
	else echo "ROS 2 not found at $(ROS_SETUP): colcon build and tests marked ros were left out"; fi

lock: $(VENV)/.ready
	@bash scripts/write_lock.sh $(BIN)/python > requirements.lock.new && mv requirements.lock.new requirements.lock

clean:
	rm -rf build install log out
