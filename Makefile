# Two commands are all that a newcomer needs: `make run` and `make test`. Each sets up what it needs, once.
PYTHON ?= python3
VENV ?= .venv
STANDBY ?= yes
ACCOUNTS ?= none
CONNECTIONS ?= 0
EXAMPLES ?= 3000
SECONDS ?= 300
# One more than there are processors, because many tests wait for something.
TEST_WORKERS ?= $(shell $(PYTHON) -c 'import os; print(1 + (os.cpu_count() or 1))')
ROUNDS ?= 11
ENV ?= sandbox
CONFIRM ?= yes
MUTANTS ?=

SOURCES := bench consumers handler local scripts tests
BIN := $(VENV)/bin
RUNS := $(VENV)/.runs
READY := $(VENV)/.ready
SAM := .venv-deploy/bin
CHECKOV := .venv-checkov/bin
MUTATION := .venv-mutation/bin

.DEFAULT_GOAL := help
# Every target that has a line in `make help`, and the one that SAM runs: some folders have the same names.
.PHONY: help run serve test lint bench format fuzz study explore rules fleet vendors typescript mutation lock clean \
	build build-RefreshFunction package cdk validate deploy deploy-local deploy-local-package

help:  ## list these commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# Virtual environments: our own, and one for each file in requirements/, since those tools and ours need other
# versions of the same libraries. The file .ready marks one that is complete. Ours is filled in two steps, and the file
# .runs marks the first: it has what the product needs to run, and not the tools for tests and lint.
NEW_ENOUGH = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later: make PYTHON=...")'
PIP_INSTALL = $(@D)/bin/python -m pip install --quiet --disable-pip-version-check
define make_venv
$(NEW_ENOUGH)
$(PYTHON) -m venv $(@D)
$(PIP_INSTALL) -r $<
@touch $@
endef

# Python compiles what it imports. To compile all of the packages would take a third of the first `make run`.
$(RUNS): requirements-local.txt requirements.txt
	$(NEW_ENOUGH)
	$(PYTHON) -m venv $(@D)
	$(PIP_INSTALL) --no-compile -r $<
	@touch $@

# The rest is compiled before the tests, which take the warnings of a compiler for errors.
$(READY): requirements-dev.txt $(RUNS)
	$(PIP_INSTALL) -r $<
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib
	@touch $@

.venv-%/.ready: requirements/%.txt
	$(make_venv)

.venv-mutation/.ready: requirements-dev.txt requirements-local.txt requirements.txt

run: $(RUNS)  ## play two days of the schedule through the real handler, with faults (STANDBY=no, ACCOUNTS=service)
	$(BIN)/python -m local --standby $(STANDBY) --accounts $(ACCOUNTS)

serve: $(RUNS)  ## run the emulated vendor, Secrets Manager and Lambda on loopback, for `.venv/bin/python -m handler` and the AWS CLI (ACCOUNTS=service, CONNECTIONS=20)
	$(BIN)/python -m local --accounts $(ACCOUNTS) serve --connections $(CONNECTIONS)

# Without bytecode each worker would rewrite the asserts of all tests, and each process that a test starts would compile
# this product anew.
test: export PYTHONDONTWRITEBYTECODE =
test: $(READY)  ## lint, check the types, and run every test
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal -rfEs

lint: $(READY)  ## run ruff and mypy
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

bench: $(READY)  ## measure a tick next to simpler functions, and write docs/PERFORMANCE.md (5 min; ROUNDS=11)
	$(BIN)/python -m bench --rounds $(ROUNDS)

format: $(READY)  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

fuzz: $(READY)  ## run the property tests with many more examples (some minutes; EXAMPLES=3000)
	FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest tests/unit -m hypothesis -n auto

explore: $(READY)  ## every interleaving of two or three runs with faults, within printed bounds (SECONDS=300 a search at most; 13 min on 2 cores)
	$(BIN)/python -m local.explore --seconds $(SECONDS)

study: $(READY)  ## simulate years of faults with the real handler, and write docs/RELIABILITY.md (14 min on 2 cores)
	$(BIN)/python -m local.simulate

rules: $(READY)  ## take each rule of policy.py and ledger.py out, and write docs/RULES.md: what changes (10 min on 2 cores)
	$(BIN)/python -m local.rules

fleet: $(READY)  ## play two days of 1,000 connections, and check what must hold (1 min)
	$(BIN)/python -m local fleet

vendors: $(READY) .venv-vendors/.ready build/vendors/.ready  ## the real handler against token endpoints that others wrote (1 min; needs Node)
	$(BIN)/python -m local.vendors

# Packages from npm, next to a copy of the file that pins them.
NPM_CI = npm ci --ignore-scripts --no-audit --no-fund --loglevel=error --prefix
define need_npm
@command -v npm >/dev/null || { echo "Node 20 or later with npm is needed" >&2; exit 2; }
endef

build/vendors/.ready: local/vendors/servers/package-lock.json local/vendors/servers/package.json
	$(need_npm)
	mkdir -p $(@D)
	cp $^ $(@D)
	$(NPM_CI) $(@D)
	@touch $@

%/node_modules/.ready: %/package-lock.json %/package.json
	$(need_npm)
	$(NPM_CI) $*
	@touch $@

typescript: $(RUNS) consumers/typescript/node_modules/.ready  ## compile and lint the reader in TypeScript, and play the contract with it (2 min; needs Node)
	npm run --prefix consumers/typescript build
	npm run --prefix consumers/typescript lint
	PYTHON="$(abspath $(BIN))/python" npm test --prefix consumers/typescript

mutation: .venv-mutation/.ready  ## change handler/ bit by bit, and check that mypy or a test notices (1 h; MUTANTS='handler.policy.*')
	rm -rf mutants
	$(MUTATION)/python -m scripts.mutate $(MUTANTS)
	$(MUTATION)/python -m scripts.mutate --survivors $(MUTANTS)
	$(MUTATION)/python -m scripts.mutation $(MUTANTS)

lock: $(READY)  ## write requirements.lock again, after a change of requirements.txt: what ships, by hash
	$(BIN)/python -m scripts.lock

clean:  ## delete everything that these commands made
	rm -rf .venv* build .aws-sam out mutants .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf consumers/python/build consumers/python/*.egg-info consumers/examples/node_modules examples/cdk/node_modules
	rm -rf consumers/typescript/dist consumers/typescript/node_modules
	rm -f tango_token-*.whl tango-token-*.tgz consumers/typescript/tango-token-*.tgz
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The deployment. SAM builds with the first Python on the PATH, and must not report anything to AWS.
# Another word than yes or no is refused: a pipeline would find out what it means when SAM asks a question.
CONFIRM_WORD = $(shell printf %s '$(strip $(CONFIRM))' | tr '[:upper:] ' '[:lower:]_')
REFUSE_CONFIRM = $(error CONFIRM must be yes or no, and it is "$(CONFIRM)")
CONFIRMATION = $(if $(filter no false 0,$(CONFIRM_WORD)),--no-confirm-changeset,$(if \
	$(filter yes true 1,$(CONFIRM_WORD)),,$(REFUSE_CONFIRM)))
SAM_ENVIRONMENT := PATH="$(CURDIR)/$(SAM):$$PATH" SAM_CLI_TELEMETRY=0

build: .venv-deploy/.ready  ## build the package for arm64 and Python 3.13, and one zip of it with its hash
	$(SAM_ENVIRONMENT) sam build
	$(SAM)/python -m scripts.bundle

build-RefreshFunction:  # `sam build` runs this target, and says where the package goes.
	@test -n "$(ARTIFACTS_DIR)" || { echo "sam build runs this target; you want: make build" >&2; exit 2; }
	@$(NEW_ENOUGH)
	$(PYTHON) -m scripts.package "$(ARTIFACTS_DIR)"

package: .venv-deploy/.ready  ## write build/tango-token-keeper-VERSION: a zip and a plain CloudFormation template, with their hashes
	$(SAM)/python -m scripts.release

cdk: $(READY) .venv-deploy/.ready examples/cdk/node_modules/.ready  ## synthesise examples/cdk, and check what CDK makes of two keepers (needs Node)
	$(BIN)/python -m pytest tests/deployment/test_cdk.py

validate: .venv-deploy/.ready .venv-checkov/.ready  ## check the template: as SAM, as CloudFormation, and with checkov
	$(SAM_ENVIRONMENT) sam validate --lint --region us-east-1  # linting needs a region, any one
	$(SAM)/python -m scripts.translate build/template.json
	$(SAM)/cfn-lint build/template.json --ignore-checks W1033  # as in the metadata of template.yaml
	$(CHECKOV)/checkov --file template.yaml build/template.json --framework cloudformation --skip-download --compact --quiet

deploy: .venv-deploy/.ready  ## build, then deploy to AWS (ENV=sandbox, production, or a section of your samconfig.local.toml; CONFIRM=no)
	@$(SAM)/python -m scripts.samconfig "$(ENV)" >/dev/null
	@$(MAKE) --no-print-directory build
	$(SAM_ENVIRONMENT) sam deploy --config-env "$(ENV)" --config-file "$$($(SAM)/python -m scripts.samconfig "$(ENV)")" $(CONFIRMATION)

deploy-local-package: package $(READY) .venv-ministack/.ready  ## the same with what `make package` has made, without SAM
	$(BIN)/python -m scripts.deploy_local --published

deploy-local: $(READY) .venv-ministack/.ready  ## deploy to an emulated AWS on loopback, IAM enforced, and check it there (3 min)
	$(BIN)/python -m scripts.deploy_local
