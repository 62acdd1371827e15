# Development, CI and deployment tasks. Each target creates the virtual environments that it needs under .venv/.
SHELL := /bin/sh
.DELETE_ON_ERROR:
.SUFFIXES:
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PYTHONDONTWRITEBYTECODE = 1

PORT ?= 3000
STATE_DIR ?= .local
LOG ?=
ALLOWED_ORIGINS ?=
ENVIRONMENT ?= default
STACK ?=
BUCKET ?=
SITE ?= site
CHROMIUM ?= chromium

# The first Python 3.11 or newer that has venv and really runs: a version manager's shim may exist but not run.
PYTHON ?= $(shell for python in python3.13 python3.14 python3.12 python3.11 python3 python; do \
	"$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && \
	"$$python" -c 'import sys; print(sys.executable)' && break; done)

# The functions' Python version, for benchmarks and for compiling bytecode. pyenv may have one that is not on PATH.
PYTHON313 ?= $(shell for python in python3.13 python3 python \
	"$$(pyenv prefix "$$(pyenv latest 3.13 2>/dev/null)" 2>/dev/null)/bin/python3.13"; do \
	"$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 13))' >/dev/null 2>&1 && \
	"$$python" -c 'import sys; print(sys.executable)' && break; done)

# The Python version that an environment needs, and the variable that sets its interpreter.
NEEDS = Python 3.11 or newer
NEEDS_AS = PYTHON
.venv/bench/.made .venv/runtime/.made: PYTHON = $(PYTHON313)
.venv/bench/.made .venv/runtime/.made: NEEDS = Python 3.13
.venv/bench/.made .venv/runtime/.made: NEEDS_AS = PYTHON313

RUN := .venv/run/bin/python
TEST := .venv/test/bin/python
# The many processes of a test run share their bytecode, which is kept outside the source folders.
BYTECODE = PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX="$(CURDIR)/.venv/bytecode"
PYTEST = $(BYTECODE) $(TEST) -W error -m pytest -n auto --dist loadfile --no-loadscope-reorder
PROMISES = tests/properties tests/concurrency
CALENDAR = $(TEST) -W error -m pytest -n auto --dist loadfile -p tests.calendar tests/layer tests/contract tests/operators
MINISTACK := .venv/ministack/bin/ministack
# SAM keeps its settings inside the project, sends no telemetry and does not check for newer versions.
SAM_HOME := .venv/sam/home
SAM = PATH="$(patsubst %/,%:,$(dir $(PYTHON313)))$$PATH" SAM_CLI_TELEMETRY=0 __SAM_CLI_APP_DIR="$(CURDIR)/$(SAM_HOME)" .venv/sam/bin/sam

.PHONY: help run test clients ssh languages promises relayed calendar browser chromium proof check format lint types validate scan generate docs screenshot bench bench-record build \
	build-check sam-local deploy deploy-built package infrastructure smoke smoke-long clean

help:
	@echo "make run             start Bindery on http://127.0.0.1:$(PORT) (PORT=, STATE_DIR=, LOG=text or json, ALLOWED_ORIGINS=)"
	@echo "make test            run the test suite (two to three minutes)"
	@echo "make clients         run small clients of each API (Python, Node.js, curl, PHP, Go) against a local server"
	@echo "make ssh             run OpenSSH through a tunnel"
	@echo "make promises        attack what Bindery promises: concurrency, faults, hostile requests (minutes; see docs/proof.md)"
	@echo "make relayed         attack the relay, with real agents: load, faults, restarts, floods (one to two minutes; part of make promises)"
	@echo "make calendar        run the tests of rules with the clock at midnight of a leap day"
	@echo "make browser         test the documentation page in Chromium"
	@echo "make proof           run the extended form of make promises, and mutation tests (takes half an hour)"
	@echo "make check           run everything that CI runs: lint, types, template, scan, tests, promises, clients, browser, build-check, sam-local"
	@echo "make format          format the code"
	@echo "make docs            write the documentation page to a folder, for hosting (SITE=)"
	@echo "make screenshot      retake the README's picture of the documentation page"
	@echo "make generate        regenerate what derives from the code and the template: paths, roles, OpenAPI document, tables in docs"
	@echo "make build           build the functions and layers for deployment (sam build)"
	@echo "make build-check     run every built function in Lambda's runtime loop, and test a deployment locally"
	@echo "make sam-local       run every function of the HTTP API with its event in a Lambda container (sam local), if Docker is available"
	@echo "make deploy          build, and deploy a stack (ENVIRONMENT=default, dev, staging or prod, from samconfig.toml)"
	@echo "make deploy-built    deploy an existing build (ENVIRONMENT=)"
	@echo "make package         build, and upload a template with its artifacts to S3, for use in your own stacks (BUCKET=)"
	@echo "make infrastructure  test the examples of docs/infrastructure-as-code.md locally"
	@echo "make smoke           test each API once on a deployed stack (STACK=)"
	@echo "make smoke-long      test how the device link's connections end (STACK=; takes two and a half hours)"
	@echo "make bench           measure cold starts, warm requests, sizes and costs, and compare them with other implementations"
	@echo "make bench-record    record the costs of requests and the imports of functions again"
	@echo "make clean           delete environments and builds, but not the local registry in $(STATE_DIR)"

run: .venv/run/.made .venv/ministack/.made
	@exec $(RUN) -m tools.local.serve --port "$(PORT)" --state "$(STATE_DIR)" --log "$(LOG)" --origins "$(ALLOWED_ORIGINS)"

# One test process per CPU. Afterwards, test_exact.py compares the template's permissions with the calls of all processes.
test: .venv/test/.made .venv/ministack/.made
	$(PYTEST)
	$(TEST) -W error -m pytest tests/stack/test_exact.py

clients: languages .venv/test/.made .venv/ministack/.made
	$(TEST) -W error -m pytest tests/clients

# Uses the system's OpenSSH. The server's package is not installed here, because it would also start a server on port 22.
ssh: .venv/test/.made .venv/ministack/.made
	@PATH="$$PATH:/usr/sbin"; command -v ssh >/dev/null && command -v sshd >/dev/null || { \
		echo "bindery: OpenSSH's client and server were not found. Install them (Debian: openssh-client, openssh-server)" >&2; exit 1; }
	$(TEST) -W error -m pytest tests/ssh

# Uses the system's programs. If some are missing, root on Debian installs their packages.
languages:
	@look() { \
		missing=; \
		for each in curl openssl node:nodejs php:php-cli go:golang-go; do \
			command -v "$${each%:*}" >/dev/null || missing="$$missing $${each#*:}"; \
		done; \
		[ -z "$$missing" ]; \
	}; \
	look || { \
		[ "$$(id -u)" = 0 ] && echo "bindery: installing Debian's$$missing" && apt-get -qq update >/dev/null && \
			DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $$missing >/dev/null; \
		look; } || { \
		echo "bindery: the clients need programs that were not found. Install them (as root: apt-get install$$missing)" >&2; exit 1; }

# The calls are compared again, together with those of the last `make test`.
promises: relayed
	$(PYTEST) $(PROMISES)
	$(TEST) -W error -m pytest tests/stack/test_exact.py

relayed: .venv/test/.made .venv/ministack/.made
	$(PYTEST) tests/relayed

# Tests of rules over midnight of a leap day, with a different order and hash seed. `make proof` adds the end of a year.
calendar: .venv/test/.calendar
	PYTHONHASHSEED=1 $(CALENDAR) --moment 2028-02-29T23:59:50+00:00

browser: chromium .venv/test/.browser .venv/ministack/.made
	CHROMIUM="$(CHROMIUM)" $(TEST) -W error -m pytest tests/browser

# Uses the system's Chromium. If it is missing, root on Debian installs it.
chromium:
	@command -v "$(CHROMIUM)" >/dev/null || { \
		[ "$$(id -u)" = 0 ] && echo "bindery: installing Debian's chromium" && apt-get -qq update >/dev/null && \
			DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends chromium >/dev/null; \
		command -v "$(CHROMIUM)" >/dev/null; } || { \
		echo "bindery: Chromium not found. Install it (as root: apt-get install chromium), or set its path: make CHROMIUM=/path/to/chromium" >&2; exit 1; }

screenshot: chromium .venv/test/.browser .venv/ministack/.made
	CHROMIUM="$(CHROMIUM)" $(TEST) -m tests.browser.screenshot

proof: .venv/test/.made .venv/test/.calendar .venv/ministack/.made
	PROOF=full $(PYTEST) $(PROMISES) tests/engine
	BINDERY_CLIENT=botocore $(PYTEST) tests/contract tests/engine tests/layer tests/operators $(PROMISES)
	PYTHONHASHSEED=2 $(CALENDAR) --moment 2030-12-31T23:59:50+00:00
	$(TEST) -m tests.properties.mutations

check: lint types validate scan test promises clients calendar browser build-check sam-local

format: .venv/test/.made
	$(TEST) -m ruff format .
	$(TEST) -m ruff check --fix .

lint: .venv/test/.made
	$(TEST) -m ruff format --check .
	$(TEST) -m ruff check .

# mypy knows no version before 3.10. A test checks that the agent's syntax and imports are those of Python 3.8.
types: .venv/test/.made
	$(TEST) -m mypy layers/bindery functions tools
	MYPYPATH=agent $(TEST) -m mypy --python-version 3.10 agent/*.py

# Prints the tables of docs/performance.md and writes them there, and draws docs/performance.svg.
bench: .venv/test/.made .venv/ministack/.made .venv/bench/.made .venv/runtime/.made build
	$(TEST) -m bench.bench
	$(TEST) -m bench.ceilings
	$(TEST) -m bench.relayed

# Rewrites tests/performance/recorded.json. Review the changes before you commit them.
bench-record: .venv/test/.made .venv/ministack/.made
	BENCH_RECORD=1 $(TEST) -W error -m pytest tests/performance
	$(TEST) -m tools.generate.costs

validate: .venv/sam/.made
	$(SAM) validate --lint --region eu-central-1
	$(SAM) validate --lint --region eu-central-1 --template roles.yaml

# Scans the template and the workflows without downloads. tools/checkov.yaml lists suppressed checks with their reasons.
scan: .venv/scan/.made
	.venv/scan/bin/checkov --config-file tools/checkov.yaml
	.venv/scan/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

docs: .venv/run/.made
	@$(RUN) -m tools.docs "$(SITE)"

# Everything that is derived from the code and template.yaml, whose own generated parts come first; the tests compare it.
generate: .venv/test/.made
	$(TEST) -m tools.generate.wiring
	$(TEST) -m tools.generate.deploying
	$(TEST) -m tools.generate.costs
	$(TEST) -m tools.generate.routes
	$(TEST) -m tools.generate.data_model
	$(TEST) -m tools.generate.openapi
	$(TEST) -m tools.generate.response_members
	$(TEST) -m tools.generate.events

build: .venv/sam/.made
	$(SAM) build

build-check: build .venv/test/.made .venv/ministack/.made .venv/runtime/.made
	$(TEST) -W error -m pytest -n auto --dist loadfile tests/built

# If no Docker daemon is running, root on Debian gets a temporary one. Otherwise the tests are skipped.
sam-local: build .venv/test/.made .venv/ministack/.made .venv/runtime/.made
	$(TEST) -m tests.sam_local

deploy: build
	@$(MAKE) --no-print-directory deploy-built

# Deploys an existing build, because the workflow's jobs share one that was tested.
deploy-built: .venv/sam/.made
	$(SAM) deploy --config-env "$(ENVIRONMENT)"

# Uploads a template with its artifacts to S3, for use in other stacks: docs/infrastructure-as-code.md.
package: build
	@[ -n "$(BUCKET)" ] || { echo "bindery: BUCKET is not set. Specify an S3 bucket in the stack's region: make package BUCKET=my-artifacts" >&2; exit 2; }
	$(SAM) package --s3-bucket "$(BUCKET)" --s3-prefix bindery --output-template-file packaged.yaml
	@.venv/sam/bin/python tools/package.py packaged.yaml "$(BUCKET)"

# Tests the examples of docs/infrastructure-as-code.md without an AWS account. The CDK example needs Node.js.
infrastructure: build .venv/test/.made .venv/ministack/.made .venv/runtime/.made .venv/cdk/.made
	$(TEST) -W error -m pytest tests/infrastructure

# Runs without tests/conftest.py, which blocks access to AWS.
smoke: .venv/test/.made
	@BINDERY_STACK="$(STACK)" $(TEST) -W error -m pytest --noconftest --tb=short tests/deployed/smoke.py

smoke-long: .venv/test/.made
	@BINDERY_STACK="$(STACK)" $(TEST) -W error -m pytest --noconftest --tb=short tests/deployed/long.py

clean:
	rm -rf .venv .aws-sam

# Recreates an environment when its lock file changes or when it is incomplete. Concurrent makes wait for each other.
define environment
	@if [ -z "$(PYTHON)" ]; then \
		echo "bindery: $(NEEDS) with venv not found on PATH. Set its path: make $(NEEDS_AS)=/path/to/python" >&2; exit 1; fi
	@"$(PYTHON)" tools/environment.py $(@D) $^
endef

.venv/run/.made: tools/requirements.txt pyproject.toml
	$(environment)

.venv/test/.made: tests/requirements.txt pyproject.toml
	$(environment)

.venv/test/.calendar: tests/calendar.txt .venv/test/.made
	@$(TEST) -m pip install --quiet --no-deps --require-hashes -r $<
	@touch $@

# Browser automation is large, so it is installed only for the tests that need it.
.venv/test/.browser: tests/browser.txt .venv/test/.made
	@$(TEST) -m pip install --quiet --no-deps --require-hashes -r $<
	@touch $@

# Exactly the packages of Lambda's Python runtime.
.venv/runtime/.made: tools/runtime.txt
	$(environment)

.venv/bench/.made: tools/bench.txt
	$(environment)

.venv/ministack/.made: tools/ministack.txt
	$(environment)

.venv/cdk/.made: tools/cdk.txt
	$(environment)

.venv/scan/.made: tools/scan.txt
	$(environment)

.venv/sam/.made: tools/sam.txt
	$(environment)
	@mkdir -p $(SAM_HOME) && echo '{"lastVersionCheck": 4102444800.0}' > $(SAM_HOME)/metadata.json
