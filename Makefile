# Everyday commands. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# What `test` and `drill` build, as fuzz and web do, is the whole workspace, examples included: then cargo
# chooses the same features of the dependencies as `cargo test --workspace` does, and builds them once.
.PHONY: help run test drill history fuzz web check fmt generate bench simulate

# A command in scripts/ that is a link is scripts/arenactl by another name.
SHELL_SCRIPTS := run_system.sh .ci/run $(shell find scripts -maxdepth 1 -type f -exec grep -l bash {} + | sort) $(wildcard scripts/lib/*.sh) deploy/make-secrets deploy/postgres/roles.sh

# Where clippy is the compiler (as in CI), a build lints too.
LINT := $(if $(RUSTC_WORKSPACE_WRAPPER),build --locked --workspace --all-targets,clippy --locked --workspace --all-targets -- -D warnings)

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s  %s\n", $$1, $$2 }' Makefile

run: ## the whole arena, on its own Postgres and Redis (Ctrl-C stops it)
	@./run_system.sh

test: ## all tests, on a throw-away Postgres and Redis
	@cargo build --locked --workspace --bins --examples
	@scripts/with-test-services cargo test --locked --workspace --no-fail-fast

drill: ## 200 faults under load, in a quarter of an hour (SEED=7 FAULTS=50 for others)
	@cargo build --locked --workspace --bins --examples
	@"$${CARGO_TARGET_DIR:-target}/debug/drill"

history: ## the cost of repeated queries and lists on a database of three months (ten million rows, 20 GB for a while), and a chain of ten million
	@scripts/with-test-services bash -c 'cargo build --locked --workspace --bins && HISTORY_ROWS=10000000 cargo test --locked -p system-tests --test it history:: -- --nocapture && CHAIN_ENTRIES=10000000 cargo test --locked -p db --test it ledger::a_long_chain'

fuzz: ## thousands of generated requests against the whole arena (SEED=7 for others)
	@scripts/fuzz-api

web: ## the web page in a real browser, against the whole arena
	@scripts/test-web

check: ## format, lints, scripts, the web page, the contract, packages, licences
	cargo fmt --all --check
	cargo $(LINT)
	@if command -v shellcheck >/dev/null; then echo "shellcheck -x $(SHELL_SCRIPTS)"; shellcheck -x $(SHELL_SCRIPTS); \
	elif [[ -n $${CHECKS_REQUIRED-} ]]; then echo "shellcheck is not installed, and CHECKS_REQUIRED asks for it" >&2; exit 1; \
	else echo "skipped: shellcheck is not installed (apt-get install shellcheck)"; fi
	@scripts/check-web
	@scripts/check-openapi
	@scripts/check-deploy
	@scripts/check-dependencies

fmt: ## formats all Rust code
	cargo fmt --all

generate: ## rewrites the generated files: the schema in Rust, the catalogue, the contract, the page's table
	@export UPDATE_SCHEMA=1 UPDATE_OPENAPI=1 UPDATE_PAGE=1; \
	scripts/with-test-services cargo test --locked -p db --test it -- schema:: no_file_of_a_migration; \
	cargo test --locked -p api --lib openapi; \
	cargo test --locked -p api --test it page_tables

bench: ## benchmarks, on a throw-away Postgres with its default durability (the simulation without)
	@cargo bench --locked -p ledger-core
	@scripts/with-test-services --durable bash -c 'cargo build --locked --release --workspace --bins && cargo build --locked --release -p api --example with-constant && cargo run --locked --release -p system-tests --bin bench'

simulate: ## the economy on a virtual clock; ARGS='--ticks 2000 --seed 7', ARGS=--help lists them
	@cargo build --locked --release -p simulation --bin simulate
	@scripts/with-test-services --one-cpu "$${CARGO_TARGET_DIR:-target}/release/simulate" $(ARGS)
