# The contributor's menu: `make help`. Paths are relative, so a checkout whose path has a space works too.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m
ARGS ?=
PROFILE ?= $(if $(wildcard /dev/nvidiactl),gpu,cpu-chunks)

.DEFAULT_GOAL := help
.PHONY: help setup run test test-stack test-containers chaos fuzz secrets stack stack-down docker lint format ui doctor bench bench-extract pictures audit constraints newest clean

help: ## show this menu
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(VENV)/.done ## make the virtual environment with the pinned packages

$(VENV)/.done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed, {sys.executable} is {sys.version.split()[0]}: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned packages (about 7 GB with PyTorch for GPUs; a minute or two at 100 Mbit/s and more)"
	@index=$${PIP_INDEX_URL:-$$($(RUN) pip config get global.index-url 2>/dev/null)}; \
	$(RUN) pip install --quiet --disable-pip-version-check --constraint constraints.txt uv && \
	$${index:+env UV_DEFAULT_INDEX=$$index} $(BIN)/uv pip install --python $(BIN)/python --constraint constraints.txt --editable '.[dev,team]' || { \
	echo "uv did not install them (its reason stands above), so pip does, which takes some minutes"; \
	$(RUN) pip install --disable-pip-version-check --constraint constraints.txt --editable '.[dev,team]'; }
	@touch $@

run: setup ## run the embedded profile end to end (ARGS="--profile reference" for another)
	@$(RUN) flows run $(ARGS)

test: setup ## lint, types, import contracts, then the test suite (ARGS="-k name" for some)
	@$(MAKE) --no-print-directory lint
	@$(RUN) pytest $(ARGS)

test-stack: setup ## the slow tests, and those that need servers of their own, as a team or a browser has them; CI runs them with the others (PostgreSQL, Chromium)
	@$(RUN) pytest --stack -n 2 -m "(stack or slow) and not long" $(ARGS)

fuzz: setup ## damage every kind of file that is read, and lay out folders, thousands of times (about an hour; ARGS="-k zip" for some)
	@$(RUN) pytest -m fuzz --hypothesis-profile=long --timeout 7200 $(ARGS)

test-containers: setup ## the stack in real containers: built, used, killed, restarted, taken down and up again (about 10 min; docker)
	@$(RUN) pytest --containers -n 0 -s -m containers $(ARGS)

secrets: ## make the team's passwords into .env, with the system's own Python
	@$(PYTHON) deploy/make_secrets.py

chaos: setup ## kill workers and servers of the stack in the middle of runs, ten times; eight pipelines at once; the embedded profile; the docs' commands (about an hour)
	@$(RUN) pytest --stack --long -n 0 -s -m long $(ARGS)

stack: docker secrets ## build and start PostgreSQL, Prefect, MLflow and workers with Docker Compose (PROFILE=gpu or cpu-chunks; default: what is here)
	@PROBEFLOW_COMMIT="$$(git describe --always --abbrev=40 --exclude='*' --dirty=', with changes that are not committed' 2> /dev/null)" \
	docker compose --profile $(PROFILE) up --detach --build --wait $(ARGS)

stack-down: docker ## end them; their data stays in volumes
	@docker compose --profile '*' down $(ARGS)

docker:
	@command -v docker > /dev/null || { echo "docker is not on PATH: install Docker Engine 25 or newer with Compose, or run the servers without it (docs/team.md)" >&2; exit 2; }

lint: setup ## check style, format, types and import contracts
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy
	@$(BIN)/lint-imports

format: setup ## format the code and fix what can be fixed
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix .

ui: setup ## open the MLflow and Prefect UIs on this machine
	@$(RUN) flows ui $(ARGS)

doctor: setup ## say what works here and how to fix what does not
	@$(RUN) flows doctor $(ARGS)

bench: setup ## measure what the project claims about the speed of sweeps (needs a quiet machine)
	@$(RUN) benchmarks.sweep $(ARGS)

bench-extract: setup ## measure the same of feature extraction
	@$(RUN) benchmarks.extract $(ARGS)

pictures: setup ## take README's pictures of the report and both UIs after a fresh run (some 4 min; needs Chromium)
	@$(RUN) docs.pictures $(ARGS)

audit: setup ## look the pinned packages up in PyPI's database of known faults
	@$(RUN) pip install --quiet --disable-pip-version-check --constraint constraints.txt pip-audit
	@$(BIN)/python .ci/audit.py

constraints: setup ## pin the whole transitive set anew
	@$(RUN) uv pip compile --quiet --universal --python-version 3.11 --extra dev --extra team --no-header --no-annotate pyproject.toml --output-file constraints.txt

newest: setup ## install the newest of all packages into .newest, without our bounds, and run the test suite there
	@$(PYTHON) -m venv --clear .newest
	@$(PYTHON) .ci/newest.py > .newest/wanted.txt
	@index=$${PIP_INDEX_URL:-$$($(RUN) pip config get global.index-url 2>/dev/null)}; \
	uv() { $${index:+env UV_DEFAULT_INDEX=$$index} $(BIN)/uv pip install --python .newest/bin/python "$$@"; }; \
	uv --requirement .newest/wanted.txt && uv --no-deps --editable .
	@.newest/bin/python -m pytest $(ARGS)

clean: ## remove the environment and caches; data/ and mlruns/ stay
	rm -rf $(VENV) .newest .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info build
