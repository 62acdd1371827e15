# Everything a person or a CI machine does with Bindery. Each target makes the environments that it needs under .venv/.
SHELL := /bin/sh
.DELETE_ON_ERROR:
.SUFFIXES:
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PYTHONDONTWRITEBYTECODE = 1

PORT ?= 3000
STATE_DIR ?= .local
LOG ?=
ENVIRONMENT ?= default
STACK ?=
BUCKET ?=
SITE ?= site
CHROMIUM ?= chromium

# The first Python that really runs (a version manager's shim may be found and not run), newer than 3.10, with venv.
PYTHON ?= $(shell for python in python3.13 python3.14 python3.12 python3.11 python3 python; do \
	"$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && \
	"$$python" -c 'import sys; print(sys.executable)' && break; done)

# The functions' own Python: what is measured runs in it, and it alone makes their bytecode. pyenv may have one that is not on PATH.
PYTHON313 ?= $(shell for python in python3.13 python3 python \
	"$$(pyenv prefix "$$(pyenv latest 3.13 2>/dev/null)" 2>/dev/null)/bin/python3.13"; do \
	"$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 13))' >/dev/null 2>&1 && \
	"$$python" -c 'import sys; print(sys.executable)' && break; done)

# What an environment's Python must be, and how another one is named.
NEEDS = Python 3.11 or newer
NEEDS_AS = PYTHON
.venv/bench/.made .venv/runtime/.made: PYTHON = $(PYTHON313)
.venv/bench/.made .venv/runtime/.made: NEEDS = Python 3.13
.venv/bench/.made .venv/runtime/.made: NEEDS_AS = PYTHON313

RUN := .venv/run/bin/python
TEST := .venv/test/bin/python
CALENDAR = $(TEST) -W error -m pytest -n auto --dist loadfile -p tests.calendar tests/layer tests/contract tests/functions
MINISTACK := .venv/ministack/bin/ministack
# SAM keeps its own settings within the project, sends no telemetry and asks no index for a newer version of itself.
SAM_HOME := .venv/sam/home
SAM = PATH="$(patsubst %/,%:,$(dir $(PYTHON313)))$$PATH" SAM_CLI_TELEMETRY=0 __SAM_CLI_APP_DIR="$(CURDIR)/$(SAM_HOME)" .venv/sam/bin/sam

.PHONY: help run test calendar browser chromium proof check format lint types validate scan openapi tables docs screenshot bench bench-record build \
	build-check sam-local deploy deploy-built package infrastructure smoke clean

help:
	@echo "make run      start Bindery on http://127.0.0.1:$(PORT) (PORT=, STATE_DIR=, LOG=text or json)"
	@echo "make test     run the whole test suite"
	@echo "make calendar run the tests of rules over the midnight of a leap day"
	@echo "make browser  try the documentation page in Chromium"
	@echo "make proof    attack every promise and break each on purpose (minutes; see docs/proof.md)"
	@echo "make check    format, lint, types, template, tests, browser, build-check: what CI runs"
	@echo "make format   format the code"
	@echo "make openapi  write docs/openapi anew, after an operation changed"
	@echo "make docs     write the documentation page into a folder, for hosting (SITE=)"
	@echo "make screenshot  retake the README's picture of the documentation page"
	@echo "make tables   regenerate what derives from the template: roles, the layer's routes, tables in docs (operations, deploying, performance)"
	@echo "make build    build the functions and layers for deployment (sam build)"
	@echo "make build-check  run every built function in Lambda's own loop, and deploy all of them on this machine"
	@echo "make sam-local  run every function with its event in Lambda's container (sam local), where there is Docker"
	@echo "make deploy   build, and deploy a stack (ENVIRONMENT=default, dev, staging or prod of samconfig.toml)"
	@echo "make deploy-built  the same without building: deploy what was built before (ENVIRONMENT=)"
	@echo "make package  build, and put one template with its artifacts into S3, for your own stacks (BUCKET=)"
	@echo "make infrastructure  try the examples of docs/infrastructure-as-code.md on this machine"
	@echo "make smoke    try each API once against a deployed stack (STACK=)"
	@echo "make bench    measure cold starts, warm requests, sizes and costs, beside their peers"
	@echo "make bench-record  record anew what requests cost and functions import"
	@echo "make clean    remove environments and builds; the local registry in $(STATE_DIR) stays"

run: .venv/run/.made .venv/ministack/.made
	@exec $(RUN) -m tools.serve --port "$(PORT)" --state "$(STATE_DIR)" --log "$(LOG)"

# A process for each processor; what the template allows is compared with what all of them called when they are done.
test: .venv/test/.made .venv/ministack/.made
	$(TEST) -W error -m pytest -n auto --dist loadfile
	$(TEST) -W error -m pytest tests/template/test_exact.py

# The tests of rules over the midnight of a leap day, in another order and with another hash seed. make proof adds a year's end.
calendar: .venv/test/.calendar
	PYTHONHASHSEED=1 $(CALENDAR) --moment 2028-02-29T23:59:50+00:00

browser: chromium .venv/test/.browser .venv/ministack/.made
	CHROMIUM="$(CHROMIUM)" $(TEST) -W error -m pytest tests/browser

# The browser is the system's own: Debian's, which root can have installed.
chromium:
	@command -v "$(CHROMIUM)" >/dev/null || { \
		[ "$$(id -u)" = 0 ] && echo "bindery: installing Debian's chromium" && apt-get -qq update >/dev/null && \
			DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends chromium >/dev/null; \
		command -v "$(CHROMIUM)" >/dev/null; } || { \
		echo "bindery: needs Chromium: as root, apt-get install chromium; or make CHROMIUM=/path/to/chromium" >&2; exit 1; }

screenshot: chromium .venv/test/.browser .venv/ministack/.made
	CHROMIUM="$(CHROMIUM)" $(TEST) -m tests.browser.screenshot

proof: .venv/test/.made .venv/test/.calendar .venv/ministack/.made
	PROOF=full $(TEST) -W error -m pytest -n auto --dist loadfile --no-loadscope-reorder tests/proof tests/interleavings tests/engine
	PYTHONHASHSEED=2 $(CALENDAR) --moment 2030-12-31T23:59:50+00:00
	$(TEST) -m tests.proof.mutations

check: lint types validate scan test calendar browser build-check sam-local

format: .venv/test/.made
	$(TEST) -m ruff format .
	$(TEST) -m ruff check --fix .

lint: .venv/test/.made
	$(TEST) -m ruff format --check .
	$(TEST) -m ruff check .

types: .venv/test/.made
	$(TEST) -m mypy layers/bindery functions tools

# Prints what everything takes and costs, and writes docs/performance.md's table and docs/performance.svg.
bench: .venv/test/.made .venv/ministack/.made .venv/bench/.made .venv/runtime/.made build
	$(TEST) -m tests.performance.bench

# Rewrites tests/performance/recorded.json: look at what changed before you commit it.
bench-record: .venv/test/.made .venv/ministack/.made
	BENCH_RECORD=1 $(TEST) -W error -m pytest tests/performance
	$(TEST) -m tools.costs

validate: .venv/sam/.made
	$(SAM) validate --lint --region eu-central-1

# The template and the workflows; what is suppressed, and why, stands in tools/checkov.yaml. Nothing is downloaded.
scan: .venv/scan/.made
	.venv/scan/bin/checkov --config-file tools/checkov.yaml
	.venv/scan/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

openapi: .venv/test/.made
	$(TEST) -m tools.openapi

docs: .venv/run/.made
	@$(RUN) -m tools.docs "$(SITE)"

tables: .venv/test/.made
	$(TEST) -m tools.roles
	$(TEST) -m tools.deploying
	$(TEST) -m tools.costs
	$(TEST) -m tools.routes

build: .venv/sam/.made
	$(SAM) build

build-check: build .venv/test/.made .venv/ministack/.made .venv/runtime/.made
	$(TEST) -W error -m pytest -n auto --dist loadfile tests/built

# Where no Docker daemon is running, root on Debian gets one for as long as this takes; elsewhere it is left out.
sam-local: build .venv/test/.made .venv/ministack/.made .venv/runtime/.made
	$(TEST) -m tests.sam_local

deploy: build
	@$(MAKE) --no-print-directory deploy-built

# Deploys what was built, and checked, before: the workflow's jobs share one build.
deploy-built: .venv/sam/.made
	$(SAM) deploy --config-env "$(ENVIRONMENT)"

# One template with all its artifacts in S3, for the stacks of others: docs/infrastructure-as-code.md.
package: build
	@[ -n "$(BUCKET)" ] || { echo "bindery: name an S3 bucket in the stack's region: make package BUCKET=my-artifacts" >&2; exit 2; }
	$(SAM) package --s3-bucket "$(BUCKET)" --s3-prefix bindery --output-template-file packaged.yaml
	@.venv/sam/bin/python tools/package.py packaged.yaml "$(BUCKET)"

# The examples of docs/infrastructure-as-code.md, as far as they can be tried without an account. The CDK needs Node.js.
infrastructure: build .venv/test/.made .venv/ministack/.made .venv/runtime/.made .venv/cdk/.made
	$(TEST) -W error -m pytest tests/infrastructure

# Without tests/conftest.py, which keeps tests from AWS.
smoke: .venv/test/.made
	@BINDERY_STACK="$(STACK)" $(TEST) -W error -m pytest --noconftest --tb=short tests/deployed/smoke.py

clean:
	rm -rf .venv .aws-sam

# An environment is made again when its lock changes, and counts only when it was made whole. Only one make at a time makes it.
define environment
	@if [ -z "$(PYTHON)" ]; then \
		echo "bindery: needs $(NEEDS), with venv, on PATH (or make $(NEEDS_AS)=/path/to/python)" >&2; exit 1; fi
	@"$(PYTHON)" tools/environment.py $(@D) $^
endef

.venv/run/.made: tools/requirements.txt pyproject.toml
	$(environment)

.venv/test/.made: tests/requirements.txt pyproject.toml
	$(environment)

.venv/test/.calendar: tests/calendar.txt .venv/test/.made
	@$(TEST) -m pip install --quiet --no-deps --require-hashes -r $<
	@touch $@

# What drives a browser is large, so it comes only with the tests that need it.
.venv/test/.browser: tests/browser.txt .venv/test/.made
	@$(TEST) -m pip install --quiet --no-deps --require-hashes -r $<
	@touch $@

# What Lambda's runtime has beside Python, and nothing else.
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
