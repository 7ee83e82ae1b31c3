# What people type and CI types too; `make help` lists it.
PYTHON := .venv/bin/python

.PHONY: help setup demo test lint docs mutants bench lock clean
help:  ## this list
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 14

setup: .venv/complete  ## make .venv from requirements.lock; does nothing when it is up to date

.venv/complete: requirements.lock pyproject.toml deploy/setup
	@deploy/setup

demo: setup  ## the whole path in two minutes: four runs, one worker, one private server
	@$(PYTHON) examples/demo/demo.py

test: lint  ## lint, types and all tests
	@$(PYTHON) -m pytest -n 2 --dist worksteal

lint: setup  ## style and types
	@$(PYTHON) -m ruff check
	@$(PYTHON) -m ruff format --check
	@$(PYTHON) -m mypy

docs: setup  ## what the code writes: docs/cli.md, the JSON Schema, the usual config
	@$(PYTHON) docs/cli.py
	@$(PYTHON) -m publisher schema -o examples/config.schema.json
	@$(PYTHON) -m schemas.usual

mutants: setup  ## break every Lua script in many ways; the tests of the door must notice each
	@$(PYTHON) tests/mutants

bench: setup  ## what the queue costs and how fast it trains, side by side; refuses on a busy machine
	@$(PYTHON) benchmarks/bench.py
	@$(PYTHON) benchmarks/throughput.py
	@$(PYTHON) benchmarks/saving.py

lock: setup  ## rewrite requirements.lock from pyproject.toml
	@$(PYTHON) -m uv pip compile pyproject.toml --extra worker --extra tables --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --no-annotate \
		--quiet --output-file requirements.lock

clean:  ## remove what demo, tests and builds left; .venv stays
	@rm -rf .demo dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find schemas publisher queue_worker trainer tests examples -name __pycache__ -prune -exec rm -rf {} +
