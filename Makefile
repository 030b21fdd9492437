# Every task has a target here; each creates the environment first if it does not exist.
.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DATASET ?= fashion_mnist
PROFILE ?= quick
# The folder of the tests' runs and reports, separate from yours.
TEST_OUTPUT := $(CURDIR)/.test

.PHONY: help run test lab status report lint environment programs notebooks readme lock clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Options: DATASET=fashion_mnist|mnist|digits|PLACE (docs/own_images.md)  PROFILE=smoke|quick|standard|full"

run: $(READY)  ## Run the series on real data and render the report (DATASET, PROFILE)
	@$(BIN)/osemn run --dataset "$(DATASET)" --profile "$(PROFILE)"

test: $(READY) programs  ## Lint, unit tests, the whole series on digits, and nbval on the notebooks
	@rm -rf "$(TEST_OUTPUT)"
	@$(MAKE) --no-print-directory lint
	@sh tools/run_tests.sh $(BIN) "$(TEST_OUTPUT)"

lab: $(READY)  ## Open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

status: $(READY)  ## Show which stages are done (DATASET, PROFILE)
	@$(BIN)/osemn status --dataset "$(DATASET)" --profile "$(PROFILE)"

report: $(READY)  ## Render the finished stages to HTML again (DATASET, PROFILE)
	@$(BIN)/osemn report --dataset "$(DATASET)" --profile "$(PROFILE)"

lint: $(READY)  ## Check style, format and spelling of code, prose and notebooks, and the page in web/
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/spelling.py
	$(BIN)/python tools/web_tools.py

environment: $(READY)  ## Create the environment only

notebooks: $(READY)  ## Run the quick series and copy its outputs into notebooks/
	$(BIN)/osemn run
	$(BIN)/python tools/refresh_notebooks.py
	$(BIN)/python tools/run_template.py

readme: $(READY)  ## Write the tables of README.md and notebooks/README.md, and docs/helpers.md
	$(BIN)/python tools/update_tables.py
	$(BIN)/python tools/helpers_page.py

lock: $(READY)  ## Pin the newest versions that pyproject.toml allows, with hashes
	sh tools/lock.sh

programs:
	@sh tools/find_test_programs.sh

clean:  ## Remove the environment and the tests' output; not data, runs or reports
	rm -rf $(VENV) "$(TEST_OUTPUT)" .pytest_cache .ruff_cache

$(READY): requirements.lock pyproject.toml tools/make_environment.sh
	@sh tools/make_environment.sh $(VENV)
