# Two commands for a newcomer: `make run` starts a server, `make test` proves the whole. Everything else is for developers.
PYTHON ?= python3
BIN := .venv/bin
PACKAGES := common/hushroom_common sfu/hushroom_sfu client/hushroom_client
PROJECTS := common/pyproject.toml sfu/pyproject.toml client/pyproject.toml
PIP := $(BIN)/pip --disable-pip-version-check --quiet install

.PHONY: run test check unit lock bench fuzz soak clean

run: .venv/run.stamp
	$(BIN)/hushroom-sfu --open

test: check unit

check: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(PACKAGES) tests
	$(BIN)/lint-imports
	for part in common sfu client; do (cd $$part && ../$(BIN)/deptry .) || exit 1; done

unit: .venv/dev.stamp tests/interop/node_modules/.stamp
	$(BIN)/pytest

bench: .venv/dev.stamp
	$(BIN)/python -m tests.bench

FUZZ_SECONDS ?= 20
fuzz: .venv/dev.stamp
	$(BIN)/python -m tests.fuzz.run --seconds $(FUZZ_SECONDS)

# The churn of tests/meeting for a long time; the tests themselves run a short form of the same code.
SOAK_MINUTES ?= 30
soak: .venv/dev.stamp
	$(BIN)/python -m tests.soak --minutes $(SOAK_MINUTES)

# Built wheels only, each held to its hash; our own three packages come from this checkout.
.venv/run.stamp: lock.txt $(PROJECTS)
	$(PYTHON) -m venv .venv
	$(PIP) --only-binary :all: --require-hashes -r lock.txt
	$(PIP) --no-deps --no-build-isolation -e common -e sfu -e client
	touch $@

.venv/dev.stamp: lock-dev.txt .venv/run.stamp
	$(PIP) --only-binary :all: --require-hashes -r lock-dev.txt
	touch $@

tests/interop/node_modules/.stamp: tests/interop/package-lock.json .venv/dev.stamp
	cd tests/interop && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --ignore-scripts --no-audit --no-fund
	touch $@

# Resolves the newest versions that pyproject.toml allows. Hashes, no index host, markers for every platform.
LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11
lock: .venv/dev.stamp
	$(BIN)/python -m tests.support.requirements run | $(LOCK) - -o lock.txt
	$(BIN)/python -m tests.support.requirements dev | $(LOCK) -c lock.txt - -o lock-dev.txt

clean:
	rm -rf .venv tests/interop/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
