# Two commands matter: `make demo` and `make test`. Both set up what they need.
.DEFAULT_GOAL := help
SHELL := /bin/sh

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/.ready
# what a step of the recipes below reads; variables set beforehand win
ENV = eval "$$($(BIN)/l1db-services env)"

# every extra but docs, which has a lock of its own
EXTRAS = all mariadb dask consdb cassandra apdb

# without byte code a process that loads the scheduler costs twice its time
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help browser contracts demo docs live weekly test ui check lint types defs mutants prove bench peers bare changelog clean distclean services cassandra stop lock

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

$(READY): requirements.lock requirements-bootstrap.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Error: no Python >= 3.11 on the PATH ($$(python3 --version 2>&1)):" \
		"install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "Setting up .venv with $$($(PYTHON) --version) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
		"Error: $$($(PYTHON) --version) is too old, Python >= 3.11 is needed" >&2; exit 1; }
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements-bootstrap.lock
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --compile-bytecode --no-deps --require-hashes \
		-r requirements.lock \
		|| $(BIN)/python -m pip install --no-deps --require-hashes -r requirements.lock
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --offline -e .
	@touch $@

services: $(READY) ## start the embedded PostgreSQL
	@$(BIN)/l1db-services start

cassandra: $(READY) ## Apache Cassandra on loopback, for trials (NODES=3); Java 17, Maven
	@$(BIN)/l1db-services cassandra start $(if $(NODES),--nodes $(NODES))

stop: $(READY) ## stop the embedded PostgreSQL, and Cassandra
	@$(BIN)/l1db-services stop

demo: $(READY) ## one night, end to end (DAY_OBS=, VISITS=n|all, OPSIM=some.db)
	@$(BIN)/python scripts/demo.py $(if $(DAY_OBS),--day-obs $(DAY_OBS)) \
		$(if $(VISITS),--visits $(VISITS)) $(if $(OPSIM),--opsim "$(OPSIM)")

ui: services ## the Dagster web server and daemon on this instance (PORT=3000)
	@$(ENV) && $(BIN)/dagster dev -w workspace.yaml -p $(or $(PORT),3000)

test: $(READY) ## all tests but the two below, against a real embedded PostgreSQL
	@$(BIN)/python -m pytest -m "not live and not browser and not weekly" -n auto --maxprocesses 4 \
		--dist loadscope --no-loadscope-reorder --ignore tests/browser $(PYTEST_ARGS)

live: $(READY) ## stories of running daemons, runs and dask, killed and cancelled
	@$(BIN)/python -m pytest -m live tests $(PYTEST_ARGS)

weekly: $(READY) ## upstream's APDB suite in the configurations that CI leaves out
	@$(BIN)/python -m pytest -m weekly tests/apdb $(PYTEST_ARGS)

browser: $(READY) ## a night by itself in a daemon, web server and Chromium; build/screenshots
	@$(BIN)/python -m pytest -m browser tests/browser $(PYTEST_ARGS)

contracts: $(READY) ## the store's contracts on Apache Cassandra (SMOKE=1 for a few)
	@servers=$$($(BIN)/l1db-services cassandra start) && eval "$$servers" && \
		$(BIN)/python -m pytest -m "cassandra$(if $(SMOKE), and smoke)" tests/contracts $(PYTEST_ARGS)

lint: $(READY) ## format and lint
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: $(READY) ## mypy --strict, tests and benchmarks too
	@$(BIN)/mypy

defs: $(READY) ## load both code locations as Dagster's makers check and list them
	@$(ENV) && folder=$$(mktemp -d) && { DAGSTER_HOME=$$folder $(BIN)/dg check defs && \
		for location in archive_assets l1db_pipeline; do (cd $$location && \
			DAGSTER_HOME=$$folder ../$(BIN)/dg list defs --json >/dev/null) || exit; done; \
		status=$$?; rm -rf "$$folder"; exit $$status; }

docs: .venv/.docs-ready ## the documentation as a site in build/docs; warnings are errors
	@$(BIN)/sphinx-build -q -W --keep-going -b html docs build/docs
	@echo "build/docs/index.html"

# what only the documentation needs: not in the set-up of the tests
.venv/.docs-ready: docs/requirements.lock $(READY)
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps --require-hashes \
		-r docs/requirements.lock
	@touch $@

mutants: $(READY) ## plant a sample of small faults; a test must find each (MUTANTS=--all)
	@$(BIN)/python scripts/mutants.py $(MUTANTS)

prove: $(READY) ## play courses of processes, faults and kills on a store (N=1000, SEED=, BACKEND=)
	@$(BIN)/python scripts/prove.py --courses $(or $(N),1000) --seed $(or $(SEED),0) \
		--backend $(or $(BACKEND),memory) --processes $(or $(PROCESSES),1)

check: lint types defs test live ## lint, types, definitions, tests

peers: .venv-swift/.ready .venv-rubin-sim/.ready ## an S3 server and the original archive, for tests

.venv-swift/.ready: REQUIREMENTS = tests/archive/requirements-swift.txt
.venv-swift/.ready: tests/archive/requirements-swift.txt
.venv-rubin-sim/.ready: REQUIREMENTS = tests/archive/requirements-rubin-sim.txt
.venv-rubin-sim/.ready: tests/archive/requirements-rubin-sim.txt
.venv-%/.ready: | $(READY)
	@echo "Setting up .venv-$* ..."
	@$(PYTHON) -m venv .venv-$*
	@VIRTUAL_ENV=.venv-$* $(BIN)/uv pip install --quiet --compile-bytecode -r $(REQUIREMENTS) \
		|| .venv-$*/bin/python -m pip install --quiet -r $(REQUIREMENTS)
	@touch $@

bench: $(READY) ## the benchmarks (NAME=w1), one JSON line a figure
	@$(BIN)/python -m benchmarks $(NAME)

bare: $(READY) ## sdist and wheel, each installed by itself in a new .venv-bare: every --help
	@rm -rf build/dist && $(BIN)/python -m hatchling build -d build/dist >/dev/null
	@for made in build/dist/*; do \
		$(BIN)/uv venv -q --clear --python $(PYTHON) .venv-bare && VIRTUAL_ENV=.venv-bare \
			$(BIN)/uv pip install -q -c requirements.lock "$$made" && \
		for program in $$($(BIN)/python -c "import tomllib; print(*tomllib.load(open( \
				'pyproject.toml', 'rb'))['project']['scripts'])"); do \
			.venv-bare/bin/$$program --help >/dev/null || exit 1; \
		done && echo "$$made: every program is there" || exit 1; \
	done

changelog: $(READY) ## gather the fragments of changelog.d into CHANGELOG.md
	@$(BIN)/towncrier build --yes

clean: ## remove what was built; keeps .venv and the data under .l1db
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean ## remove the virtual environment and all data, too
	-test ! -x $(BIN)/l1db-services || $(BIN)/l1db-services stop
	rm -rf .venv .venv-* .l1db

lock: | $(READY) ## resolve pyproject.toml into requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --group dev $(EXTRAS:%=--extra %) --universal \
		--python-version 3.11 --generate-hashes --no-header --no-annotate -q -o requirements.lock
	@$(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))[ \
		'project']['optional-dependencies']['docs'], sep='\n')" | $(BIN)/uv pip compile - \
		-c requirements.lock --universal --python-version 3.11 --generate-hashes --no-header \
		--no-annotate -q -o docs/requirements.lock
