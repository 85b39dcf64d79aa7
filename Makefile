# Everything a user or CI runs. Needs Python >= 3.11, git and make; the rest is fetched into .venv, pinned and hashed.
# make PYTHON=/path/to/python3.12 test   chooses the Python; make PYTEST='-k words' test   passes options on;
# make PROCESSES=0 test   runs the tests in one process; make SEED=7 test   runs them in another order.

export PYTHON
PYTEST ?=
PROCESSES ?= 2
MINUTES ?= 5
SEED ?=
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help demo test explore check docs format lock clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' Makefile

demo: ## transcribe the sample that comes along: words with times
	@scripts/venv.sh demo
	@scripts/demo.sh

test: ## all tests but the slow ones, with the same examples in the same order, in two processes
	@scripts/venv.sh dev
	@$(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder --randomly-seed=$(or $(SEED),1) -m 'not slow' $(PYTEST)

explore: ## the property tests with new random examples, for MINUTES=5
	@scripts/venv.sh dev
	@$(BIN)/python scripts/explore.py --minutes $(MINUTES) --processes $(PROCESSES) $(if $(SEED),--seed $(SEED))

check: ## lint, format, types, the rule of the arrows
	@scripts/venv.sh dev
	@$(BIN)/python -m ruff check
	@$(BIN)/python -m ruff format --check
	@$(BIN)/python -m mypy
	@$(BIN)/lint-imports --no-logo

docs: ## build the documentation: site/index.html
	@scripts/venv.sh dev
	@scripts/venv.sh docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@! grep -rl 'Sentinel\.' site/reference || { echo 'a page shows an object of Python in place of a default'; exit 1; }

format: ## rewrite what `make check` would complain about
	@scripts/venv.sh dev
	@$(BIN)/python -m ruff check --fix
	@$(BIN)/python -m ruff format

lock: ## pin the dependencies again (requirements/*.txt)
	@scripts/lock.sh

clean: ## remove .venv and what tools left behind
	rm -rf .venv .cache site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist demo-output
	rm -f src/autorag_whisper/engines/*autorag_whisper_cpu.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
