# The two commands of the README are `make demo` and `make test`; everything else is a part of them or a longer form.
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PYTHON ?= python3
PEERS := tests/peers/oidc/node_modules/.installed tests/peers/browser/node_modules/.installed

.PHONY: help demo test check policies peers unit soak bench bench-quick bench-log docs clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,demo]'
	@touch $(INSTALLED)

demo: $(INSTALLED) ## build the coffee chain, start the gateway, tell the story, leave it running
	$(BIN)/consent-gateway demo

test: check unit ## everything CI runs

check: $(INSTALLED) ## style, types, import contracts, policies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/consent-gateway policy check policies
	$(BIN)/consent-gateway policy test

peers: $(PEERS) ## OAuth software and axe-core that the tests talk to

$(PEERS): tests/peers/%/node_modules/.installed: tests/peers/%/package.json
	npm install --no-package-lock --no-audit --no-fund --silent --fetch-retries=2 --fetch-timeout=60000 \
		--prefix tests/peers/$*
	@touch $@

unit: $(INSTALLED) $(PEERS) ## all tests, on SQLite and on a real PostgreSQL
	$(BIN)/python -m pytest -n 3 --dist loadfile

soak: $(INSTALLED) ## the long forms: a million decisions, 500 kills, long races
	SOAK=1 HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest tests/faults tests/properties tests/erasing

bench: $(INSTALLED) ## gated reads against a bare endpoint, side by side, on both databases
	$(BIN)/python -m bench

bench-quick: $(INSTALLED) ## the same in under a minute
	$(BIN)/python -m bench --quick

bench-log: $(INSTALLED) ## the log alone, grown to ten million entries; about an hour and 30 GB of disk
	$(BIN)/python -m bench --log 10000000

docs: $(INSTALLED) ## write the generated reference pages anew
	$(BIN)/python -m docs.generate

clean: ## remove everything that was built or kept here
	rm -rf $(VENV) var tests/peers/*/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis
