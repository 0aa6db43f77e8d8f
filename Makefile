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
DISPATCH := target/release/agent-dispatch
DYNOXIDE := 3.2.0
CARGO_MUTANTS := 27.1.0

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/demo.stamp ## Play Slack against the function on this machine, and check what it does
	$(VENV)/bin/python demo/demo.py

# Everything behind the queue as well; what stands in for what, it says itself.
demo-agent: $(VENV)/demo.stamp $(VENV)/test.stamp agent/.venv/stamp $(RELEASE) $(DISPATCH) ## The whole way, to an agent that thinks for 20 seconds and answers in Slack, once
	agent/.venv/bin/python demo/demo_agent.py

dev: $(VENV)/demo.stamp ## Watch mode, for a real Slack app through a tunnel (needs SLACK_SIGNING_SECRET)
	$(VENV)/bin/python demo/dev.py

check: format-check lint docs ## The quick inner loop: format, lints, docs, tests that need no server
	DELIVERIES=20000 cargo test --locked --lib --tests --examples

test: format-check lint docs workflows demo size test-all simulate kill test-load test-agent test-end-to-end test-dev test-stack fuzz-short bench-short ## Everything that CI runs

# The release binaries are built once, and every test of a real process shares them.
WITH_SERVERS = PYTHON=$(VENV)/bin/python SLACK_INGRESS_BIN=$(CURDIR)/$(RELEASE) $(VENV)/bin/python tests/servers.py
SERVERS = $(VENV)/test.stamp tests/node_modules/.package-lock.json $(RELEASE) $(DISPATCH)
CARGO_TEST = cargo test --locked --all-features

test-all: $(SERVERS)
	$(WITH_SERVERS) $(CARGO_TEST) --lib --examples --test suite -- --include-ignored \
		--skip kills:: --skip load:: --test-threads 8

simulate: ## A million deliveries in a simulated world; DELIVERIES= for more, SEED= to replay one history
	$(CARGO_TEST) --test simulation -- --nocapture $(if $(SEED),replay)

# These two are alone on the machine, as far as they can be: beside the other tests each would measure the others.
ALONE = --ignored --test-threads 1 --nocapture

kill: $(SERVERS) ## Kill the real processes at random moments; KILLS= for more of them
	$(WITH_SERVERS) $(CARGO_TEST) --test suite -- kills:: $(ALONE)

test-load: $(SERVERS)
	$(WITH_SERVERS) --sqs fauxqs $(CARGO_TEST) --test suite -- load:: $(ALONE)

load: export LOAD_EVENTS ?= 100000
load: $(SERVERS) $(VENV)/dynoxide-$(DYNOXIDE).stamp ## 100,000 events to each kind of queue; prints what it measures
	$(WITH_SERVERS) --dynamodb dynoxide --sqs fauxqs $(CARGO_TEST) --test suite -- load:: $(ALONE)

# The agent, and the tools that it finds locally; then the whole way, with faults.
test-agent: agent/.venv/stamp
	agent/.venv/bin/python -m pytest -q agent/tests

test-end-to-end: $(VENV)/test.stamp agent/.venv/stamp $(RELEASE) $(DISPATCH)
	agent/.venv/bin/python -m pytest -q tests/end_to_end

# The tool for one's own machine: a Slack to play, to join, to record.
DEV_TEST = cargo test --locked -p slack-dev

slack-dev: FORCE ## The development tool, in target/tool (slack-dev/README.md)
	cargo build --locked --profile tool -p slack-dev

bridge: slack-dev ## A real Slack app's events without a public URL (needs SLACK_APP_TOKEN)
	target/tool/slack-dev bridge

doctor: slack-dev ## What is not set up as it should be, and what to do about it; ARGUMENTS="--url https://…"
	target/tool/slack-dev doctor $(ARGUMENTS)

test-dev: $(SERVERS)
	$(WITH_SERVERS) $(DEV_TEST) -- --include-ignored --skip to_be_watched --test-threads 2

storm: export STORM_EVENTS ?= 10000
storm: $(SERVERS) ## 10,000 events, a third repeated, a tenth forged, against the release binary; STORM_EVENTS= for more
	$(WITH_SERVERS) $(DEV_TEST) --test slack-dev-suite -- --ignored --exact storm::to_be_watched --nocapture

# The stacks: types, templates, lints; then brought up on an emulator with the release binary, and posted to.
test-stack: $(VENV)/stack.stamp cdk/node_modules/.package-lock.json $(RELEASE) $(DISPATCH)
	cd cdk && npm test --silent
	for function in slack-ingress redrive agent-dispatch; do \
		mkdir -p target/bootstrap/$$function && cp target/release/$$function target/bootstrap/$$function/bootstrap || exit; done
	BOOTSTRAP_DIR=$(CURDIR)/target/bootstrap $(VENV)/bin/python cdk/test/deploy/deploy.py

# Fuzzing with libFuzzer and the pinned toolchain: these flags are the instrumentation that cargo-fuzz asks for.
# `--target`, although it is the host, keeps them off build scripts and macros.
FUZZ_TARGETS := signature http_event slack_json slack_form config
FUZZ := fuzz/target/$(shell rustc --print host-tuple)/debug
SANCOV := -Cpasses=sancov-module $(addprefix -Cllvm-args=-sanitizer-coverage-,level=4 inline-8bit-counters pc-table \
	trace-compares)
FUZZ_FLAGS = -artifact_prefix=fuzz/artifacts/$$target-
MINUTES ?= 10

fuzz-build: FORCE
	RUSTFLAGS="$(SANCOV) --cfg fuzzing" cargo build --locked --manifest-path fuzz/Cargo.toml \
		--target-dir fuzz/target --target $$(rustc --print host-tuple)

# The corpus, then as many inputs as are given here, the same ones each time; then long ones, for the rule on memory.
fuzz-short: fuzz-build
	mkdir -p fuzz/artifacts
	@for target in $(FUZZ_TARGETS); do \
		scratch=$$(mktemp -d); status=0; \
		for limits in "-runs=15000 -max_len=16384 -timeout=5" "-runs=150 -max_len=262144 -timeout=30"; do \
			$(FUZZ)/$$target -seed=1 $$limits $(FUZZ_FLAGS) -dict=fuzz/dictionaries/$$target \
				$$scratch fuzz/corpus/$$target > $$scratch.log 2>&1 || { status=$$?; break; }; \
		done; \
		if [ $$status != 0 ]; then cat $$scratch.log; fi; \
		rm -rf $$scratch $$scratch.log; \
		if [ $$status != 0 ]; then echo "$$target: the input is in fuzz/artifacts"; exit 1; fi; \
		echo "$$target: ok"; \
	done

fuzz: fuzz-build ## Look for new inputs, MINUTES=10 for each target; what they add goes into fuzz/corpus
	mkdir -p fuzz/artifacts
	@set -e; for target in $(FUZZ_TARGETS); do \
		found=fuzz/target/found/$$target; mkdir -p $$found; \
		$(FUZZ)/$$target -max_total_time=$$(($(MINUTES) * 60)) -max_len=16384 -timeout=5 $(FUZZ_FLAGS) \
			-dict=fuzz/dictionaries/$$target -print_final_stats=1 $$found fuzz/corpus/$$target; \
		find $$found -size +8k -delete; \
		$(FUZZ)/$$target -merge=1 -use_counters=0 $(FUZZ_FLAGS) fuzz/corpus/$$target $$found; \
	done

# Whole functions side by side, ours and what people have today; the tables and the plot go into docs/. By hand, on a
# machine that does nothing else: a figure of a busy one is worth nothing.
BENCH := benches/functions
ROUNDS ?= 7

bench: $(RELEASE) bench-harness $(VENV)/bench.stamp $(BENCH)/peers/node/node_modules/.package-lock.json ## How long Slack waits, beside Python, Node and plain Rust (half an hour); ROUNDS=7
	cd $(BENCH)/peers/node && npm run --silent build
	@# Plain: without our line in .cargo/config.toml.
	AWS_LC_SYS_NO_JITTER_ENTROPY=0 cargo build --locked --release \
		--manifest-path $(BENCH)/peers/rust/Cargo.toml --target-dir target/peers
	$(VENV)/bin/python $(BENCH)/run.py --rounds $(ROUNDS)
	$(VENV)/bin/python $(BENCH)/report.py

bench-harness: FORCE
	cargo build --locked --profile tool -p functions-bench

# Times nothing that counts: it shows that the function does what it is measured for, and that the harness works.
bench-short: $(RELEASE) bench-harness
	$(PYTHON) $(BENCH)/run.py --only-ours --rounds 1 --warm 5 --memory 1769 --output target/bench-short.json

bench-steps: ## Verifying, parsing, building a message: by the size of the body
	cargo bench --locked --bench steps

size: $(RELEASE)
	$(PYTHON) tests/size.py $(RELEASE) target/release/redrive

# Breaks the rules one at a time, and fails if there is a break that no test notices; .cargo/mutants.toml has what is
# left out, and why. The stores are held to their contract, with their servers; so is the shortcut,
# and what AgentCore's answers mean.
STORES := src/{dedup/{memory,dynamodb,redis},dispatch/agent,aws/shortcut}.rs
NOT_STORES := src/slack/** src/ingress/** src/redrive/** src/time/** src/sink/message/** src/dispatch/{mod,dead_letter,report,visibility}.rs src/dispatch/batch/** src/dispatch/invocation/** src/dedup/mod.rs
mutants: $(VENV)/cargo-mutants-$(CARGO_MUTANTS).stamp $(VENV)/test.stamp tests/node_modules/.package-lock.json ## Break each rule in turn: does a test notice? (an hour or two)
	mkdir -p target/mutants/rules target/mutants/stores
	cargo mutants --output target/mutants/rules --exclude '$(STORES)' --cargo-arg=--lib
	$(VENV)/bin/python tests/servers.py cargo mutants --output target/mutants/stores \
		$(foreach files,$(NOT_STORES),--exclude '$(files)') --cargo-arg=--lib --cargo-arg=--test=suite \
		-- -- --include-ignored dedup:: dispatch:: ingress:: redrive:: shortcut:: sinks:: stores::

# Packages of their own, beside the project's.
APART := fuzz benches/functions/peers/rust

format-check:
	cargo fmt --all --check
	$(foreach package,$(APART),cargo fmt --check --manifest-path $(package)/Cargo.toml &&) true

format: ## Format the code
	cargo fmt --all
	$(foreach package,$(APART),cargo fmt --manifest-path $(package)/Cargo.toml &&) true

# Each set of features, because each is a build that somebody runs; the tests build the other two.
lint:
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --all-targets --all-features -- -D warnings
	cargo clippy --locked --all-targets --features redis -- -D warnings && cargo build --locked --features redis
	cargo clippy --locked --all-targets --features sns -- -D warnings && cargo build --locked --features sns
	cargo clippy --locked --all-targets --features dispatch -- -D warnings
	cargo clippy --locked --all-targets -p functions-bench -- -D warnings
	cargo clippy --locked --all-targets -p slack-dev -- -D warnings

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
	cargo lambda build --locked --release --target $(RUST_TARGET) --output-format zip --features dispatch --bin agent-dispatch
	$(PYTHON) tests/size.py target/lambda/slack-ingress/bootstrap.zip target/lambda/redrive/bootstrap.zip

# In wheels for AgentCore's machines, whatever this one is.
agent-zip: $(VENV)/demo.stamp ## The agent with all it imports, for AgentCore, in target/agent (arm64)
	rm -rf target/agent && mkdir -p target/agent
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --target target/agent --no-deps --no-compile \
		--only-binary=:all: --implementation cp --python-version 3.12 --platform manylinux2014_aarch64 --platform manylinux_2_28_aarch64 \
		-r agent/requirements.txt
	cp -r agent/main.py agent/slack_agent target/agent/ && rm -rf target/agent/slack_agent/__pycache__

# CONTEXT="-c queueType=standard": docs/deploy.md has the settings. Give the same ones each time.
CDK = cd cdk && npx --no-install cdk
ZIPS = -c codePath=../target/lambda/slack-ingress/bootstrap.zip -c redriveCodePath=../target/lambda/redrive/bootstrap.zip \
	-c dispatchCodePath=../target/lambda/agent-dispatch/bootstrap.zip -c agentCodePath=../target/agent
SETTINGS = $(ZIPS) -c architecture=$(ARCHITECTURE) $(CONTEXT)

bootstrap: build agent-zip cdk/node_modules/.package-lock.json ## Prepare an account and region for the CDK, once
	$(CDK) bootstrap $(SETTINGS)

deploy: build agent-zip cdk/node_modules/.package-lock.json ## Bring the stacks up in the AWS account of your credentials (docs/deploy.md)
	$(CDK) deploy --all $(SETTINGS) --outputs-file outputs.json

clean: ## Remove everything that was built or installed here
	rm -rf target fuzz/target fuzz/artifacts $(VENV) agent/.venv cdk/cdk.out cdk/outputs.json \
		{tests,cdk,benches/functions/peers/node}/node_modules

# Always asked: cargo knows whether anything changed.
$(RELEASE): FORCE
	cargo build --locked --release

# It has its own feature, and the ingress is built without that.
$(DISPATCH): FORCE
	cargo build --locked --release --features dispatch --bin agent-dispatch

# An environment of the agent's own: what it imports goes to AgentCore, and nothing of ours with it.
agent/.venv/stamp: agent/requirements.txt agent/requirements-dev.txt
	test -d agent/.venv || $(PYTHON) -m venv agent/.venv
	agent/.venv/bin/pip install --quiet --disable-pip-version-check -r agent/requirements.txt -r agent/requirements-dev.txt
	touch $@

$(VENV)/%.stamp:
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@
$(VENV)/demo.stamp: demo/requirements.txt
$(VENV)/test.stamp: tests/requirements.txt
$(VENV)/stack.stamp: cdk/requirements.txt
$(VENV)/bench.stamp: benches/functions/requirements.txt

# A DynamoDB that keeps up with the load. It is compiled, in three minutes; so `make test` does without it.
$(VENV)/dynoxide-$(DYNOXIDE).stamp: | $(VENV)/test.stamp
	cargo install --quiet --locked --root $(VENV) dynoxide-rs --version $(DYNOXIDE) \
		--no-default-features --features native-sqlite,http-server,cli
	touch $@

$(VENV)/cargo-mutants-$(CARGO_MUTANTS).stamp: | $(VENV)/test.stamp
	cargo install --quiet --locked --root $(VENV) cargo-mutants --version $(CARGO_MUTANTS)
	touch $@

%/node_modules/.package-lock.json: %/package-lock.json
	@command -v npm >/dev/null || { echo "npm is not there: install Node.js 20 or later"; exit 1; }
	cd $* && npm ci --no-audit --no-fund --silent

FORCE:
.PHONY: help demo demo-agent slack-dev bridge doctor test-dev storm dev check test test-all test-agent test-end-to-end agent-zip simulate kill test-load load test-stack format-check format lint docs workflows build bootstrap deploy clean fuzz fuzz-short fuzz-build mutants bench bench-harness bench-short bench-steps size FORCE
