# The tasks of a working day; `make` or `make help` lists them. Every one runs in .venv, which `make install` creates.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help install demo test unit check docs bench ci

help:  ## List the tasks
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(BIN)/provider  ## Create .venv with everything that tests and benchmarks need

$(BIN)/provider: setup.cfg
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[test,test-deploy,test-tools,bench]'
	@touch $@

demo: install  ## Publish, buy and stream a dataset on a local chain
	$(BIN)/provider demo

unit: install  ## Tests without sockets or processes (seconds)
	$(BIN)/python -m pytest -q -n 3 tests/unit

test: install  ## All tests (minutes)
	$(BIN)/python -m pytest -q -n 3

check: install  ## Lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: install  ## Rewrite the pages that are made from the code
	$(BIN)/python -m provider.errors.document
	$(BIN)/python -m provider.observability.metrics.document
	$(BIN)/python -m provider.config.document

bench: install  ## Compare a warm download with nginx and a bare Tornado handler
	$(BIN)/python -m benchmarks run warm_download

ci:  ## What CI runs, in a fresh environment
	bash .ci/run
