PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help

.PHONY: help setup demo test check format bench proof build clean lock

help: ## List the targets.
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## Make .venv from the lock; nothing outside the checkout is touched.
	@$(PYTHON) tools/setup_environment.py

demo: setup ## Train a model on MNIST from start to end.
	@$(BIN)/python examples/demo.py

test: setup ## Run the tests.
	@status=0; \
	$(BIN)/pytest --numprocesses auto -m "not timed" || status=$$?; \
	$(BIN)/pytest -m timed || status=$$?; \
	exit $$status

check: setup ## Lint, format, types, import contracts.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## Format the code.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## Measure, beside the alternatives; prints JSON. The last three need the servers of CONTRIBUTING.md.
	$(BIN)/python -m benchmarks.launch
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.checkpoint
	$(BIN)/python -m benchmarks.scheduler
	$(BIN)/python -m benchmarks.server
	$(BIN)/python -m benchmarks.jobs
	$(BIN)/python -m benchmarks.dispatch
	$(BIN)/python -m benchmarks.metrics

proof: setup ## The long tests: resume under 200 strikes, drill, fuzzer, overload, rules, accuracy, soak. Three hours; needs the servers of CONTRIBUTING.md.
	$(BIN)/python -m tests.proof_resume
	HEADWAY_PROOF_EXAMPLES=2000 $(BIN)/pytest -q tests/unit/core/test_state_machine.py
	$(BIN)/headway drill --rounds 5
	$(BIN)/python -m tests.proof_fuzzer
	$(BIN)/python -m tests.proof_fuzzer --sets
	$(BIN)/python -m tests.proof_overload
	$(BIN)/python -m benchmarks.accuracy
	$(BIN)/python -m benchmarks.soak

build: setup ## Build the wheel and the sdist.
	uv=$$(command -v uv || echo .venv/uv/bin/uv); $$uv build --quiet

lock: setup ## Renew requirements.lock.
	uv=$$(command -v uv || echo .venv/uv/bin/uv); $$uv pip compile --quiet --universal --generate-hashes \
	  --no-annotate --no-header --all-extras --python-version 3.11 pyproject.toml -o requirements.lock

clean: ## Remove what was made here.
	rm -rf .venv .headway-demo dist .pytest_cache .mypy_cache .ruff_cache
