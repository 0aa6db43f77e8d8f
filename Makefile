# Two commands are the product's face: `make demo` and `make test`. `make help` lists the others.
# What they need is installed into .venv, tests/node_modules and cdk/node_modules, at pinned versions.

SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
# First on the PATH, so that `cargo lambda` is the pinned one.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
RELEASE := target/release/slack-ingress

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/demo.stamp ## Play Slack against the function on this machine, and check what it does
	$(VENV)/bin/python demo/demo.py

dev: $(VENV)/demo.stamp ## Watch mode, for a real Slack app through a tunnel (needs SLACK_SIGNING_SECRET)
	$(VENV)/bin/python demo/dev.py

check: format-check lint docs ## The quick inner loop: format, lints, docs, tests that need no server
	DELIVERIES=20000 cargo test --locked --lib --tests --examples

test: format-check lint docs workflows test-all simulate test-stack ## Everything that CI runs

# The release binaries are built once, and every test of a real process shares them.
WITH_SERVERS = PYTHON=$(VENV)/bin/python SLACK_INGRESS_BIN=$(CURDIR)/$(RELEASE) $(VENV)/bin/python tests/servers.py
SERVERS = $(VENV)/test.stamp tests/node_modules/.package-lock.json $(RELEASE)
CARGO_TEST = cargo test --locked --all-features

test-all: $(SERVERS)
	$(WITH_SERVERS) $(CARGO_TEST) --lib --examples --test suite -- --include-ignored \
		--skip kills:: --skip load:: --test-threads 8

simulate: ## A million deliveries in a simulated world; DELIVERIES= for more, SEED= to replay one history
	$(CARGO_TEST) --test simulation -- --nocapture $(if $(SEED),replay)

# The stacks: types, templates, lints; then brought up on an emulator with the release binary, and posted to.
test-stack: $(VENV)/stack.stamp cdk/node_modules/.package-lock.json $(RELEASE)
	cd cdk && npm test --silent
	for function in slack-ingress redrive; do \
		mkdir -p target/bootstrap/$$function && cp target/release/$$function target/bootstrap/$$function/bootstrap || exit; done
	BOOTSTRAP_DIR=$(CURDIR)/target/bootstrap $(VENV)/bin/python cdk/test/deploy/deploy.py

format-check:
	cargo fmt --check

format: ## Format the code
	cargo fmt

# Each set of features, because each is a build that somebody runs; the tests build the other two.
lint:
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --all-targets --all-features -- -D warnings
	cargo clippy --locked --all-targets --features redis -- -D warnings && cargo build --locked --features redis
	cargo clippy --locked --all-targets --features sns -- -D warnings && cargo build --locked --features sns

workflows: $(VENV)/test.stamp
	$(VENV)/bin/zizmor --offline --quiet .github

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --all-features

# ARCHITECTURE=x86_64 for the other one. Both go to the same place.
ARCHITECTURE ?= arm64
RUST_TARGET := $(if $(filter arm64,$(ARCHITECTURE)),aarch64,x86_64)-unknown-linux-gnu

build: $(VENV)/demo.stamp ## The Lambda zips, in target/lambda (arm64; adds that target to the Rust toolchain)
	rustup target add $(RUST_TARGET)
	cargo lambda build --locked --release --target $(RUST_TARGET) --output-format zip --bin slack-ingress --bin redrive

# CONTEXT="-c queueType=standard": docs/deploy.md has the settings. Give the same ones each time.
CDK = cd cdk && npx --no-install cdk
ZIPS = -c codePath=../target/lambda/slack-ingress/bootstrap.zip -c redriveCodePath=../target/lambda/redrive/bootstrap.zip
SETTINGS = $(ZIPS) -c architecture=$(ARCHITECTURE) $(CONTEXT)

bootstrap: build cdk/node_modules/.package-lock.json ## Prepare an account and region for the CDK, once
	$(CDK) bootstrap $(SETTINGS)

deploy: build cdk/node_modules/.package-lock.json ## Bring the stack up in the AWS account of your credentials (docs/deploy.md)
	$(CDK) deploy $(SETTINGS) --outputs-file outputs.json

clean: ## Remove everything that was built or installed here
	rm -rf target $(VENV) tests/node_modules cdk/node_modules cdk/cdk.out cdk/outputs.json

# Always asked: cargo knows whether anything changed.
$(RELEASE): FORCE
	cargo build --locked --release

$(VENV)/%.stamp:
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@
$(VENV)/demo.stamp: demo/requirements.txt
$(VENV)/test.stamp: tests/requirements.txt
$(VENV)/stack.stamp: cdk/requirements.txt

%/node_modules/.package-lock.json: %/package-lock.json
	@command -v npm >/dev/null || { echo "npm is not there: install Node.js 20 or later"; exit 1; }
	cd $* && npm ci --no-audit --no-fund --silent

FORCE:
.PHONY: help demo dev check test test-all simulate test-stack format-check format lint docs workflows build bootstrap deploy clean FORCE
