# Two commands are the product's face: `make demo` and `make test`. `make help` lists the others.
# What they need is installed into .venv, tests/node_modules and cdk/node_modules, at pinned versions.

SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# What may run beside something else is told to tests/beside.sh; `make -j` changes nothing.
.NOTPARALLEL:

PYTHON ?= python3
VENV := .venv
# First on the PATH, so that `cargo lambda` is the pinned one.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
RELEASE := target/release/slack-ingress
NAMES := slack-ingress redrive agent-dispatch agent-settle token-rotation
DYNOXIDE := 3.2.0
CARGO_MUTANTS := 27.1.0

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/demo.stamp ## Play Slack against the function on this machine, and check what it does
	$(VENV)/bin/python demo/demo.py $(DEMO)

# Everything behind the queue as well; what stands in for what, it says itself.
demo-agent: $(VENV)/demo.stamp $(VENV)/test.stamp agent/.venv/stamp $(RELEASE) ## The whole way, to an agent whose session ends while it thinks, with files and two workspaces; each answer is in Slack, once
	agent/.venv/bin/python demo/demo_agent.py

# A Bolt app in each language, with Bolt's own receiver and behind the queue.
demo-bolt: $(VENV)/demo.stamp $(VENV)/test.stamp bolt/python/.venv/stamp bolt/javascript/dist/index.js $(RELEASE) ## A Bolt app in Python and in JavaScript, with Bolt in front and behind the queue: what people see must be the same
	bolt/python/.venv/bin/python demo/demo_bolt.py

# PICTURE=--check only says whether the picture still shows what the demonstration says.
demo-picture: $(VENV)/demo.stamp $(VENV)/test.stamp agent/.venv/stamp $(RELEASE)
	agent/.venv/bin/python demo/picture.py $(PICTURE)

dev: $(VENV)/demo.stamp ## Watch mode, for a real Slack app through a tunnel (needs SLACK_SIGNING_SECRET)
	$(VENV)/bin/python demo/dev.py

# Cargo unifies features over the packages of one command, and compiles a crate once for each set of features. Two sets
# are all that is built here:
# - for development, everything with everything: tests, lints, documentation and the benchmark's harness share it;
# - for release, the functions' package alone. With `--workspace` slack-dev's and the tests' features would be in them:
#   the tests of record and the zips would not be of the program that its Cargo.toml describes.
EVERYTHING := --locked --workspace --all-features
FUNCTIONS := --locked --release -p slack-ingress --features dispatch

# The rest is left to `make test`: the lints of single features, and every test that starts a process.
check: format-check lint-everything docs ## The quick inner loop: format, lints, docs, unit tests, a short simulation
	DELIVERIES=20000 cargo test $(EVERYTHING) --lib --bins --test simulation

# Everything that CI runs. The compiler needs all of the machine, installing needs the network, and some tests mostly wait;
# so these run beside each other. What is measured, or kills processes, runs alone.
test: ## Everything that CI runs
	tests/beside.sh "$(MAKE) installed" "$(MAKE) release"
	tests/beside.sh "$(MAKE) test-stack" "$(MAKE) test-agent test-bolt-python test-bolt-javascript test-package release-dry-run" "nice $(MAKE) format-check lint docs test-build fuzz-build"
	tests/beside.sh "$(MAKE) test-all" "$(MAKE) test-dev test-bolt-guide demo-bolt" "$(MAKE) test-docs"
	$(MAKE) test-end-to-end
	$(MAKE) workflows size demo DEMO=--release demo-picture PICTURE=--check simulate model kill answers test-load fuzz-short bench-short

installed: $(VENV)/demo.stamp $(VENV)/test.stamp $(VENV)/stack.stamp $(VENV)/release.stamp agent/.venv/stamp cdk/.venv/stamp bolt/python/.venv/stamp tests/node_modules/.package-lock.json cdk/node_modules/.package-lock.json bolt/javascript/node_modules/.package-lock.json

release: $(RELEASE)

test-build:
	cargo build $(EVERYTHING) --bins --tests --examples

# The release binaries are built once, and every test of a real process shares them.
WITH_SERVERS = PYTHON=$(VENV)/bin/python SLACK_INGRESS_BIN=$(CURDIR)/$(RELEASE) $(VENV)/bin/python tests/servers.py
SERVERS = $(VENV)/test.stamp tests/node_modules/.package-lock.json $(RELEASE)
CARGO_TEST = cargo test $(EVERYTHING)
SUITE = $(WITH_SERVERS) $(CARGO_TEST) --test suite -- --include-ignored

# Not in one command: what is skipped in the suite is not to be skipped elsewhere, where a name has it in it.
test-all: $(SERVERS)
	$(CARGO_TEST) --lib --bins --examples
	$(CARGO_TEST) --doc
	RUST_TEST_THREADS=8 tests/cargo_once_more.sh env $(SUITE) --skip kills:: --skip load::

model: ## Every way that the work on a question can go, in small worlds, by the very rules of src/work
	$(CARGO_TEST) --test model -- --nocapture

# MiniStack serves SQS and DynamoDB; everything else on the way is the real program or a stand-in of ours.
answers: $(VENV)/test.stamp agent/.venv/stamp $(RELEASE) ## Kill and pause all that is on the way to an answer; KILLS= for more, SEED= for the same choices, PROTOCOL=none to see what it is for
	agent/.venv/bin/python tests/answers/answers.py

simulate: ## A million deliveries in a simulated world; DELIVERIES= for more, SEED= to replay one history
	$(CARGO_TEST) --test simulation -- --nocapture $(if $(SEED),replay)

# These two are alone on the machine, as far as they can be: beside the other tests each would measure the others.
ALONE = --test-threads 1 --nocapture

kill: $(SERVERS) ## Kill the real processes at random moments; KILLS= for more of them
	$(SUITE) kills:: $(ALONE)

test-load: $(SERVERS)
	$(WITH_SERVERS) --sqs fauxqs $(CARGO_TEST) --test suite -- --ignored load:: $(ALONE)

load: export LOAD_EVENTS ?= 100000
load: $(SERVERS) $(VENV)/dynoxide-$(DYNOXIDE).stamp ## 100,000 events to each kind of queue; prints what it measures
	$(WITH_SERVERS) --dynamodb dynoxide --sqs fauxqs $(CARGO_TEST) --test suite -- --ignored load:: $(ALONE)

# The agent, and the tools that it finds locally; then the whole way, with faults.
test-agent: agent/.venv/stamp
	agent/.venv/bin/python -m pytest -q agent/tests

# The listeners of a Bolt app behind the queue, with the real Bolt and emulators of SQS and DynamoDB. Most of its tests wait
# for a lease or a process, so more of them run at a time than there are cores.
test-bolt-python: $(VENV)/test.stamp tests/node_modules/.package-lock.json bolt/python/.venv/stamp
	cd bolt/python && .venv/bin/ruff check --quiet . && .venv/bin/mypy --no-error-summary
	tests/once_more.sh $(VENV)/bin/python tests/servers.py bolt/python/.venv/bin/python -m pytest -c bolt/python/pyproject.toml \
		--rootdir bolt/python -o cache_dir=$(CURDIR)/target/pytest/bolt -n 6 --dist loadgroup bolt/python/tests

# Bolt apps behind the queue: the package as it is published, with each version of Bolt that it supports.
test-bolt-javascript: $(VENV)/test.stamp tests/node_modules/.package-lock.json bolt/javascript/node_modules/.package-lock.json
	$(VENV)/bin/python tests/servers.py npm --prefix bolt/javascript --silent test

# What the examples in this repository import, as `npm pack` would build it.
bolt/javascript/dist/index.js: bolt/javascript/node_modules/.package-lock.json $(wildcard bolt/javascript/src/*.ts)
	npm --prefix bolt/javascript run --silent build

# The tests of two regions have worlds of their own, and mostly wait.
TWO_REGIONS = tests/end_to_end/test_two_regions.py
test-end-to-end: $(VENV)/test.stamp agent/.venv/stamp $(RELEASE)
	cargo build $(EVERYTHING) --bin slack-dev
	tests/beside.sh "tests/once_more.sh agent/.venv/bin/python -m pytest -q -o cache_dir=target/pytest/end_to_end tests/end_to_end --ignore $(TWO_REGIONS)" \
		"tests/once_more.sh agent/.venv/bin/python -m pytest -q -o cache_dir=target/pytest/two_regions $(TWO_REGIONS)"

# The code of docs/migrate-bolt.md, before and after each of its commits.
test-bolt-guide: $(VENV)/test.stamp $(VENV)/stack.stamp bolt/python/.venv/stamp bolt/javascript/dist/index.js $(RELEASE)
	bolt/python/.venv/bin/python -m pytest -q tests/bolt_guide

# The commands of the guides, in bash, and in zsh if there is one, on an emulator of AWS; and the code of docs/migrate.md. One guide
# begins with a release, which `make test` has made by then.
DRY_RUN := target/release-dry-run/assets/SHA256SUMS
$(DRY_RUN): $(RELEASE)
	$(MAKE) release-dry-run

test-docs: $(VENV)/test.stamp agent/.venv/stamp cdk/node_modules/.package-lock.json bootstraps $(DRY_RUN)
	BOOTSTRAP_DIR=$(CURDIR)/target/bootstrap tests/once_more.sh agent/.venv/bin/python -m pytest -q -o cache_dir=target/pytest/docs tests/docs

# The tool for one's own machine: a Slack to play, to join, to record.
slack-dev: FORCE ## The development tool, in target/tool (slack-dev/README.md)
	cargo build --locked --profile tool -p slack-dev

bridge: slack-dev ## A real Slack app's events without a public URL (needs SLACK_APP_TOKEN)
	target/tool/slack-dev bridge

doctor: slack-dev ## What is not set up as it should be, and what to do about it; ARGUMENTS="--url https://…"
	target/tool/slack-dev doctor $(ARGUMENTS)

test-dev: $(SERVERS)
	RUST_TEST_THREADS=2 tests/cargo_once_more.sh env $(WITH_SERVERS) $(CARGO_TEST) --test slack-dev-suite -- --include-ignored --skip to_be_watched

storm: export STORM_EVENTS ?= 10000
storm: $(SERVERS) ## 10,000 events, a third repeated, a tenth forged, against the release binary; STORM_EVENTS= for more
	$(WITH_SERVERS) $(CARGO_TEST) --test slack-dev-suite -- --ignored --exact storm::to_be_watched --nocapture

# The stacks: types, templates, lints; then brought up on an emulator with the release binary, and posted to.
test-stack: $(VENV)/stack.stamp cdk/node_modules/.package-lock.json bootstraps
	cd cdk && npm test --silent
	BOOTSTRAP_DIR=$(CURDIR)/target/bootstrap $(VENV)/bin/python cdk/test/deploy/deploy.py

# The constructs as packages, with this machine's functions in them, installed by apps in four languages.
test-package: $(VENV)/stack.stamp cdk/node_modules/.package-lock.json cdk/.venv/stamp bootstraps
	BOOTSTRAP_DIR=$(CURDIR)/target/bootstrap PYTHON_WITH_CDK=$(CURDIR)/cdk/.venv/bin/python \
		$(VENV)/bin/python cdk/test/package/test.py

bootstraps: $(RELEASE)
	for function in $(NAMES); do \
		mkdir -p target/bootstrap/$$function && cp target/release/$$function target/bootstrap/$$function/bootstrap || exit; done

# Fuzzing with libFuzzer and the pinned toolchain: these flags are the instrumentation that cargo-fuzz asks for.
# `--target`, although it is the host, keeps them off build scripts and macros.
FUZZ_TARGETS := signature http_event slack_json slack_form config
# Asked when it is used: rustc installs the pinned toolchain where there is none, such as in the job that publishes a release.
FUZZ = fuzz/target/$(shell rustc --print host-tuple)/debug
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
	tests/beside.sh $(foreach target,$(FUZZ_TARGETS),"$(MAKE) fuzz-target-$(target)")

fuzz-target-%:
	@scratch=$$(mktemp -d); status=0; target=$*; \
	for limits in "-runs=15000 -max_len=16384 -timeout=5" "-runs=150 -max_len=262144 -timeout=30"; do \
		$(FUZZ)/$$target -seed=1 $$limits $(FUZZ_FLAGS) -dict=fuzz/dictionaries/$$target \
			$$scratch fuzz/corpus/$$target || { status=$$?; break; }; \
	done; \
	rm -rf $$scratch; \
	if [ $$status != 0 ]; then echo "$$target: the input is in fuzz/artifacts"; fi; \
	exit $$status

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

bench: $(RELEASE) bench-harness $(VENV)/bench.stamp $(BENCH)/peers/node/node_modules/.package-lock.json ## How long Slack waits, beside Bolt, Python, Node, plain Rust and AWS's sample; modals; rules (half an hour); ROUNDS=7
	cd $(BENCH)/peers/node && npm run --silent build
	@# Plain: without our line in .cargo/config.toml.
	AWS_LC_SYS_NO_JITTER_ENTROPY=0 cargo build --locked --release \
		--manifest-path $(BENCH)/peers/rust/Cargo.toml --target-dir target/peers
	$(VENV)/bin/python $(BENCH)/run.py --rounds $(ROUNDS)
	$(VENV)/bin/python $(BENCH)/report.py

bench-signs: $(VENV)/test.stamp agent/.venv/stamp $(RELEASE) ## How long a person waits for a sign, and how long a stop takes
	agent/.venv/bin/python benches/answers/signs.py

bench-agent: agent/.venv/stamp target/agent-traced/stamp ## How long the agent takes to start, and its memory; ROUNDS=7
	agent/.venv/bin/python benches/agent/start.py --tracing target/agent-traced/bin/python

# What is traced needs an earlier OpenTelemetry than what is not.
target/agent-traced/stamp: agent/requirements-tracing.txt
	test -d target/agent-traced || $(PYTHON) -m venv target/agent-traced
	target/agent-traced/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

bench-harness: FORCE
	cargo build --locked --profile tool -p functions-bench

# Times nothing that counts: it shows that the function does what it is measured for, a modal and a static answer too, and that
# the harness works. So the harness may be the one that was built with the tests. Of Bolt's comparison ours is that of events.
bench-short: $(RELEASE) test-build
	$(PYTHON) $(BENCH)/run.py --harness target/debug --only-ours --comparisons events modal rules \
		--rounds 1 --warm 2 --pause-ms 0 --memory 1769 --output target/bench-short.json

bench-steps: ## Verifying, parsing, building a message: by the size of the body
	cargo bench --locked --bench steps

size: $(RELEASE)
	$(PYTHON) tests/size.py $(RELEASE) target/release/redrive

# Breaks the rules one at a time, and fails if there is a break that no test notices; .cargo/mutants.toml names the files,
# and what is left out of them, and why. What speaks to a server is held by tests that have one: the stores, the shortcut,
# what AgentCore's answers mean, what SQS and Secrets Manager are asked. Everything else is held by unit tests.
WITH_A_SERVER := $(addprefix src/,dedup/any.rs dedup/dynamodb.rs dedup/memory.rs dedup/redis.rs dispatch/agent.rs gateway/agent_core.rs work/dynamodb/mod.rs work/queue.rs slack/secrets/mod.rs aws/shortcut.rs)
mutants: $(VENV)/cargo-mutants-$(CARGO_MUTANTS).stamp $(VENV)/test.stamp tests/node_modules/.package-lock.json ## Break each rule in turn: does a test notice? (an hour or two)
	mkdir -p target/mutants/rules target/mutants/stores
	cargo mutants --output target/mutants/rules $(addprefix --exclude ,$(WITH_A_SERVER)) --cargo-arg=--lib
	$(VENV)/bin/python tests/servers.py cargo mutants --output target/mutants/stores \
		$(addprefix --exclude ,$(filter-out $(WITH_A_SERVER),$(shell find src -name '*.rs'))) --cargo-arg=--lib --cargo-arg=--test=suite \
		-- -- --include-ignored dedup:: dispatch:: features:: gateway:: ingress:: parking:: redrive:: secrets:: shortcut:: sinks:: stores:: wire:: work_stores::

# Packages of their own, beside the project's.
APART := fuzz benches/functions/peers/rust

format-check:
	cargo fmt --all --check
	$(foreach package,$(APART),cargo fmt --check --manifest-path $(package)/Cargo.toml &&) true

format: ## Format the code
	cargo fmt --all
	$(foreach package,$(APART),cargo fmt --manifest-path $(package)/Cargo.toml &&) true

lint-everything:
	cargo clippy $(EVERYTHING) --all-targets -- -D warnings

# Each set of features as well, because each is a build that somebody runs: the programs, and not the tests, which are run with
# all features. They are checked and not built: a check finds what does not compile, and nothing is run.
lint: lint-everything
	for features in "" redis sns dispatch; do \
		cargo clippy --locked -p slack-ingress --features "$$features" -- -D warnings || exit; done

workflows: $(VENV)/test.stamp
	$(VENV)/bin/zizmor --offline --quiet .github

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc $(EVERYTHING) --no-deps

# What is built must be what is deployed, so both are read in the settings; the CDK looks into the zips and stops if they are
# something else. ARCHITECTURE=x86_64 says it without a setting. Both architectures go to the same place.
settings = $(patsubst $(1)=%,%,$(filter-out $(1)=,$(filter $(1)=%,$(patsubst --context=%,%,$(CONTEXT)))))
ARCHITECTURE ?= $(or $(lastword $(call settings,architecture)),arm64)
ifneq ($(filter-out $(ARCHITECTURE),$(call settings,architecture)),)
$(error ARCHITECTURE=$(ARCHITECTURE) and -c architecture=$(call settings,architecture) are two architectures: give one)
endif
ifeq ($(filter arm64 x86_64,$(ARCHITECTURE)),)
$(error ARCHITECTURE must be arm64 or x86_64, and is: $(ARCHITECTURE))
endif
RUST_TARGET := $(if $(filter arm64,$(ARCHITECTURE)),aarch64,x86_64)-unknown-linux-gnu

# What the default build does without (Cargo.toml): FEATURES=sns, FEATURES=redis, FEATURES=sns,redis.
FEATURES ?= $(if $(call settings,topicArn),sns)
COMMA := ,

build: $(VENV)/demo.stamp ## The Lambda zips, in target/lambda (arm64; adds that target to the Rust toolchain); FEATURES=sns, redis for more
	rustup target add $(RUST_TARGET)
	cargo lambda build $(FUNCTIONS)$(addprefix $(COMMA),$(FEATURES)) --target $(RUST_TARGET) --output-format zip
	$(PYTHON) tests/size.py $(addprefix --features ,$(FEATURES)) target/lambda/slack-ingress/bootstrap.zip target/lambda/redrive/bootstrap.zip

bolt-packages: bolt/python/.venv/stamp bolt/javascript/node_modules/.package-lock.json ## The wheel and the npm tarball of the packages for Bolt, in target/packages
	rm -rf target/packages && mkdir -p target/packages
	bolt/python/.venv/bin/python -m build --no-isolation --outdir target/packages bolt/python
	cd bolt/javascript && npm pack --silent --pack-destination $(CURDIR)/target/packages

# With the functions of both architectures, and with SNS those that send events. The packages are in target/package.
PACKAGED := target/package/functions
package: cdk/node_modules/.package-lock.json ## The constructs for npm and PyPI, with the functions in them, in target/package
	rm -rf $(PACKAGED)
	for architecture in arm64 x86_64; do \
		mkdir -p $(PACKAGED)/$$architecture && \
		$(MAKE) build ARCHITECTURE=$$architecture FEATURES=sns CONTEXT= && \
		for name in slack-ingress redrive; do cp target/lambda/$$name/bootstrap.zip $(PACKAGED)/$$architecture/$$name-sns.zip || exit; done && \
		$(MAKE) build ARCHITECTURE=$$architecture FEATURES= CONTEXT= && \
		for name in $(NAMES); do cp target/lambda/$$name/bootstrap.zip $(PACKAGED)/$$architecture/$$name.zip || exit; done || exit; done
	cd cdk && npm run --silent package -- --functions ../$(PACKAGED) --out ../target/package

# In wheels for AgentCore's machines, whatever this one is. With OpenTelemetry if the stack is told to start the agent under it.
AGENT_REQUIREMENTS = agent/requirements$(if $(findstring agentTracing=adot,$(CONTEXT)),-tracing).txt
agent-zip: $(VENV)/demo.stamp ## The agent with all it imports, for AgentCore, in target/agent (arm64)
	rm -rf target/agent && mkdir -p target/agent
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --target target/agent --no-deps --no-compile \
		--only-binary=:all: --implementation cp --python-version 3.12 --platform manylinux2014_aarch64 --platform manylinux_2_28_aarch64 \
		-r $(AGENT_REQUIREMENTS)
	cp -r agent/main.py agent/slack_agent target/agent/ && find target/agent/slack_agent -name __pycache__ -prune -exec rm -rf {} +
	$(PYTHON) release/agent_size.py target/agent

# The steps of .github/workflows/release.yml, in its order; release/README.md. TAG comes by the environment and is never a word
# of make's: a tag may have any character in it.
ASSETS ?= target/assets
NOTES ?= target/release-notes.md
CHANGELOG ?= CHANGELOG.md
RELEASE_FEATURES := sns redis
define build_and_collect
$(MAKE) build FEATURES=$(1)
$(PYTHON) release/functions.py collect --architecture $(ARCHITECTURE) --feature "$(1)" target/lambda $(ASSETS)

endef

release-check: ## Whether TAG=v0.1.0 can be released from this commit: versions, changelog (CONTRIBUTING.md)
	$(PYTHON) release/version.py --changelog $(CHANGELOG) --notes $(NOTES) -- "$$TAG"

# First the two functions that send events, with what the default build lacks.
release-functions:
	$(foreach feature,$(RELEASE_FEATURES),$(call build_and_collect,$(feature)))
	$(call build_and_collect,)

# For Linux it is built as the functions are, so that it runs with an older C library than the builder's: that of Amazon Linux 2023.
TOOL_PLATFORM ?= $(shell uname -s)-$(shell uname -m)
TOOL_TARGET = $(patsubst Linux-%,%,$(TOOL_PLATFORM))-unknown-linux-gnu
ifneq ($(filter Linux-%,$(TOOL_PLATFORM)),)
release-tool: $(VENV)/demo.stamp
	rustup target add $(TOOL_TARGET)
	cargo lambda build --locked --profile tool -p slack-dev --target $(TOOL_TARGET)
	$(PYTHON) release/tool.py --platform $(TOOL_PLATFORM) --glibc 2.34 target/lambda/slack-dev/bootstrap $(ASSETS)
else
release-tool: slack-dev
	$(PYTHON) release/tool.py --platform $(TOOL_PLATFORM) target/tool/slack-dev $(ASSETS)
endif

# From the functions of both architectures in $(ASSETS), everything else.
release-packages: cdk/node_modules/.package-lock.json $(VENV)/release.stamp
	$(PYTHON) release/functions.py for-the-construct $(ASSETS) $(PACKAGED)
	tests/beside.sh "$(MAKE) bolt-packages agent-zip" \
		"npm --prefix cdk run --silent package -- --functions ../$(PACKAGED) --out ../target/package" \
		'$(VENV)/bin/python release/sbom.py --version "$$TAG" $(ASSETS)'
	$(PYTHON) release/packages.py target/packages target/package $(ASSETS)
	$(PYTHON) release/archive.py target/agent $(ASSETS)/slack-ingress-agent.zip
	$(PYTHON) release/sam.py --version "$$TAG" $(ASSETS)
	cp docs/fast-path.schema.json $(ASSETS)/

# Installs nothing: it runs in the job that may sign and publish. RELEASED= is for a dry run, which has less.
release-seal:
	$(PYTHON) release/checksums.py $(ASSETS)
	$(PYTHON) release/assets.py --version "$$TAG" $(RELEASED) $(ASSETS)

release-publish:
	gh release create "$$TAG" --verify-tag --title "$$TAG" --notes-file $(NOTES) $(ASSETS)/*

# Those steps as the workflow has them, with the functions and the slack-dev that `make test` has built, and nothing published.
release-dry-run: $(VENV)/release.stamp $(VENV)/stack.stamp cdk/node_modules/.package-lock.json bolt/python/.venv/stamp bolt/javascript/node_modules/.package-lock.json bootstraps ## What a release would be made of, and whether its workflow would make it
	cargo build $(EVERYTHING) --bin slack-dev
	BOOTSTRAP_DIR=$(CURDIR)/target/bootstrap SLACK_DEV=$(CURDIR)/target/debug/slack-dev $(VENV)/bin/python -m unittest discover --start-directory release/tests --top-level-directory release/tests

# CONTEXT="-c queueType=standard": docs/deploy.md has the settings. Give the same ones each time. What a deployment would
# replace that holds data it does not touch, unless REPLACE names it.
CDK = cd cdk && npx --no-install cdk
ZIPS = -c codePath=../target/lambda/slack-ingress/bootstrap.zip -c redriveCodePath=../target/lambda/redrive/bootstrap.zip \
	-c dispatchCodePath=../target/lambda/agent-dispatch/bootstrap.zip \
	-c settleCodePath=../target/lambda/agent-settle/bootstrap.zip \
	-c rotationCodePath=../target/lambda/token-rotation/bootstrap.zip -c agentCodePath=../target/agent
# A setting in cdk/cdk.json must not be hidden by a default of ours, so the architecture is passed only if it was chosen here.
SETTINGS = $(ZIPS) $(if $(filter file,$(origin ARCHITECTURE)),,-c architecture=$(ARCHITECTURE)) $(CONTEXT)

bootstrap: build agent-zip cdk/node_modules/.package-lock.json ## Prepare an account and region for the CDK, once
	$(CDK) bootstrap $(SETTINGS)

deploy: build agent-zip cdk/node_modules/.package-lock.json ## Bring the stacks up in the AWS account of your credentials (docs/deploy.md)
	cd cdk && npm run --silent deploy -- $(addprefix --replace=,$(REPLACE)) $(SETTINGS)

# The jobs of .github/workflows/deploy.yml (docs/continuous-deployment.md). What the first one makes, by building or from a
# release, the second one deploys; only that one has credentials, so it builds nothing and runs no script of a package's.
DEPLOYABLES := target/deploy
deployables: build agent-zip
	rm -rf $(DEPLOYABLES) && mkdir -p $(DEPLOYABLES)
	for name in $(NAMES); do cp target/lambda/$$name/bootstrap.zip $(DEPLOYABLES)/$$name.zip || exit; done
	$(PYTHON) release/archive.py target/agent $(DEPLOYABLES)/agent.zip

# The functions of the release TAG, if what was built and published is what is downloaded.
deployables-of-release:
	rm -rf $(ASSETS) $(DEPLOYABLES) && mkdir -p $(DEPLOYABLES)
	gh release download "$$TAG" --dir $(ASSETS)
	cd $(ASSETS) && sha256sum --check --strict --quiet SHA256SUMS
	for file in $(ASSETS)/*; do gh attestation verify "$$file" --repo "$$GITHUB_REPOSITORY" \
		--signer-workflow "$$GITHUB_REPOSITORY/.github/workflows/release.yml" --source-ref "refs/tags/$$TAG" || exit; done
	$(PYTHON) release/functions.py for-a-deployment --architecture $(ARCHITECTURE) --feature "$(FEATURES)" $(ASSETS) $(DEPLOYABLES)

deploy-built: ZIPS = -c codePath=../$(DEPLOYABLES)/slack-ingress.zip -c redriveCodePath=../$(DEPLOYABLES)/redrive.zip \
	-c dispatchCodePath=../$(DEPLOYABLES)/agent-dispatch.zip -c settleCodePath=../$(DEPLOYABLES)/agent-settle.zip \
	-c rotationCodePath=../$(DEPLOYABLES)/token-rotation.zip -c agentCodePath=../$(DEPLOYABLES)/agent.zip
deploy-packages:
	cd cdk && npm ci --ignore-scripts --no-audit --no-fund --silent

# Whoever started the workflow has approved the deployment, so the CDK does not ask.
deploy-built:
	cd cdk && npm run --silent deploy -- --require-approval never $(addprefix --replace=,$(REPLACE)) $(SETTINGS)

deploy-summary:
	$(PYTHON) release/summary.py cdk/outputs.json >> "$$GITHUB_STEP_SUMMARY"

# Known holes in what npm and pip install. Their databases are on the network, so this is not in `make test`.
audit: audit-npm audit-pip ## Known holes in the trees of npm and pip (asks their registries)

audit-npm:
	for lock in $$(git ls-files '*package-lock.json'); do \
		echo "$$lock" && (cd $$(dirname $$lock) && npm audit --package-lock-only --audit-level=high) || exit; done

audit-pip: $(VENV)-audit/stamp
	for list in $$(git ls-files '*requirements*.txt'); do \
		echo "$$list" && $(VENV)-audit/bin/pip-audit --strict --disable-pip --no-deps --progress-spinner off -r $$list || exit; done

clean: ## Remove everything that was built or installed here
	rm -rf target fuzz/target fuzz/artifacts $(VENV) $(VENV)-audit agent/.venv bolt/python/.venv cdk/.venv cdk/build cdk/cdk.out cdk/outputs.json \
		{tests,cdk,benches/functions/peers/node,bolt/javascript}/node_modules bolt/javascript/{dist,build}

# Always asked: cargo knows whether anything changed. All five functions in one command; the feature `dispatch` adds
# nothing to the two that do not use it, and tests/size.py would tell.
$(RELEASE): FORCE
	cargo build $(FUNCTIONS)

# An environment of the agent's own: what it imports goes to AgentCore, and nothing of ours with it.
agent/.venv/stamp: agent/requirements.txt agent/requirements-dev.txt
	test -d agent/.venv || $(PYTHON) -m venv agent/.venv
	agent/.venv/bin/pip install --quiet --disable-pip-version-check -r agent/requirements.txt -r agent/requirements-dev.txt
	touch $@

# An environment of its own: what audits brings other versions than what is audited.
$(VENV)-audit/stamp: release/requirements-audit.txt
	test -d $(VENV)-audit || $(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

# What an app in Python has that installs the constructs.
cdk/.venv/stamp: cdk/test/package/requirements.txt
	test -d cdk/.venv || $(PYTHON) -m venv cdk/.venv
	cdk/.venv/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

# As well: the consumer's function has nothing of ours but what the app's own environment brings.
bolt/python/.venv/stamp: bolt/python/requirements-dev.txt
	test -d bolt/python/.venv || $(PYTHON) -m venv bolt/python/.venv
	bolt/python/.venv/bin/pip install --quiet --disable-pip-version-check -r bolt/python/requirements-dev.txt
	touch $@

$(VENV)/%.stamp:
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@
$(VENV)/demo.stamp: demo/requirements.txt
$(VENV)/test.stamp: tests/requirements.txt
$(VENV)/stack.stamp: cdk/requirements.txt
$(VENV)/bench.stamp: benches/functions/requirements.txt
$(VENV)/release.stamp: release/requirements.txt

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
.PHONY: help installed release test-build model answers lint-everything demo demo-agent demo-bolt demo-picture slack-dev bridge doctor test-dev storm dev check test test-all test-agent test-bolt-python test-bolt-javascript test-bolt-guide test-docs test-end-to-end agent-zip simulate kill test-load load test-stack format-check format lint docs workflows build bolt-packages bootstrap deploy clean fuzz fuzz-short fuzz-build mutants bench bench-harness bench-short bench-steps bench-signs bench-agent size bootstraps package test-package release-check release-functions release-tool release-packages release-seal release-publish release-dry-run deployables deployables-of-release deploy-packages deploy-built deploy-summary audit audit-npm audit-pip FORCE
