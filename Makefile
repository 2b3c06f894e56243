# What a person and CI run. Everything that is needed is created below .venv and target.
# PYTHON chooses the interpreter of the virtual environment: make test PYTHON=python3.13

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help demo test pytest test-long test-rust lint format loom tsan bench clean

help: ## List the targets.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/installed ## Measure the standard library with ast, serially and on every backend.
	$(BIN)/python -m hypern demo

test: test-rust pytest ## Run every test: Rust, then Python.

pytest: $(VENV)/installed ## Run the Python tests.
	$(BIN)/python -m pytest -q -n logical --dist worksteal $(PYTEST_ARGS)

test-long: $(VENV)/installed ## Run the tests with the long counts (kills, memory, races).
	HYPERN_TEST_LONG=1 $(BIN)/python -m pytest -q --timeout 1800

test-rust:
	cargo test --release --quiet -p hypern-pool -p hypern-wire

lint: $(VENV)/installed ## Check format, lints and types.
	$(BIN)/python -m pip install --quiet --group lint
	cargo fmt --all --check
	cargo clippy --release --all-targets --quiet -- -D warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/installed ## Format Rust and Python.
	$(BIN)/python -m pip install --quiet --group lint
	cargo fmt --all
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only --quiet .

loom: ## Model-check the hand-over of the pool.
	RUSTFLAGS="--cfg loom" cargo test --release --quiet -p hypern-pool --test loom --target-dir target/loom

tsan: ## Run the pool's stress tests under ThreadSanitizer.
	RUSTC_BOOTSTRAP=1 RUSTFLAGS="--cfg hypern_tsan -Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer" \
	cargo test --quiet -p hypern-pool --test stress --target-dir target/tsan --target "$$(rustc -vV | sed -n 's/^host: //p')"

bench: $(VENV)/installed ## Compare with other pools; the method is in benches/README.md.
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python -m benches

clean: ## Remove what was built.
	rm -rf $(VENV) target

SOURCES := $(shell find crates python -name '*.rs' -o -name '*.toml' -o -name '*.py') Cargo.toml Cargo.lock pyproject.toml

$(VENV)/installed: $(SOURCES)
	@command -v cargo >/dev/null || { echo "hypern needs Rust (cargo, 1.88 or newer): https://rustup.rs" >&2; exit 1; }
	@command -v $(PYTHON) >/dev/null || { echo "hypern needs Python 3.11 or newer; $(PYTHON) is not there. Try: make test PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "hypern needs Python 3.11 or newer; $(PYTHON) is older. Try: make test PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || { echo "$(PYTHON) has no venv module (on Debian: apt-get install python3-venv)" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet '.[demo]'
	$(BIN)/python -m pip install --quiet --group test
	for group in uvloop web joblib dask; do $(BIN)/python -m pip install --quiet --only-binary :all: --group $$group || echo "without $$group: not all of it has wheels for this Python"; done
	touch $@
