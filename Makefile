PYTHON ?= python3
BIN := .venv/bin
RUN_EXTRAS := torch stacks postgresql mongodb rabbitmq kafka redis s3
.DEFAULT_GOAL := help

.PHONY: help setup setup-dev demo test check format bench proof page build clean lock

help: ## List the targets.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## Create .venv with the packages to run Headway. Writes nothing outside the checkout.
	@$(PYTHON) tools/setup_environment.py run

setup-dev: ## Create .venv with the packages for tests and checks, too.
	@$(PYTHON) tools/setup_environment.py dev

demo: setup ## Train a model on MNIST from start to end.
	@$(BIN)/python examples/demo.py

test: setup-dev ## Run the tests.
	@status=0; \
	$(BIN)/pytest --numprocesses auto -m "not timed" || status=$$?; \
	$(BIN)/pytest -m timed || status=$$?; \
	exit $$status

check: setup-dev ## Lint, format, types, import contracts.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup-dev ## Format the code.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup-dev ## Measure Headway and its alternatives as JSON. The last three need the servers of CONTRIBUTING.md.
	$(BIN)/python -m benchmarks.launch
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.checkpoint
	$(BIN)/python -m benchmarks.scheduler
	$(BIN)/python -m benchmarks.server
	$(BIN)/python -m benchmarks.live
	$(BIN)/python -m benchmarks.jobs
	$(BIN)/python -m benchmarks.dispatch
	$(BIN)/python -m benchmarks.metrics

proof: setup-dev ## Run the long tests: resume after 200 kills, drill, fuzzer, overload, rules, accuracy, soak. Takes three hours; needs the servers of CONTRIBUTING.md.
	$(BIN)/python -m tests.proof_resume
	HEADWAY_PROOF_EXAMPLES=2000 $(BIN)/pytest -q tests/unit/core/test_state_machine.py
	$(BIN)/headway drill --rounds 5
	$(BIN)/python -m tests.proof_fuzzer
	$(BIN)/python -m tests.proof_fuzzer --sets
	$(BIN)/python -m tests.proof_overload
	$(BIN)/python -m benchmarks.accuracy
	$(BIN)/python -m benchmarks.soak

page: ## Build the web page from ui/ into headway/server/page. Needs Node.js 20.19 or newer with npm.
	cd ui && npm ci --no-fund --no-audit && npm run build

build: setup-dev ## Build the wheel and the sdist.
	uv=$$(command -v uv || echo .venv/uv/bin/uv); $$uv build --quiet

lock: setup-dev ## Renew the lock files.
	uv=$$(command -v uv || echo .venv/uv/bin/uv); versions=$$(mktemp); \
	compile="$$uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --python-version 3.11"; \
	$$compile --all-extras pyproject.toml -o requirements-dev.lock && \
	grep '==' requirements-dev.lock | sed 's/ *\\$$//' > $$versions && \
	$$compile $(RUN_EXTRAS:%=--extra %) -c $$versions pyproject.toml -o requirements.lock; \
	status=$$?; rm -f $$versions; exit $$status

clean: ## Remove everything that make created.
	rm -rf .venv .cache .headway-demo dist .pytest_cache .mypy_cache .ruff_cache
