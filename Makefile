# Two commands are all that a newcomer needs: `make run` and `make test`. Each sets up what it uses, once.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
STANDBY ?= yes
EXAMPLES ?= 10000
ROUNDS ?= 15
SOURCES := bench consumers handler local scripts tests

NEW_ENOUGH = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later: make PYTHON=...")'

.DEFAULT_GOAL := help
.PHONY: help run serve test lint bench format clean

help:  ## list these commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): requirements.txt requirements-dev.txt
	$(NEW_ENOUGH)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

run: $(READY)  ## play two days of the schedule through the real handler, with faults (STANDBY=no: without a standby)
	$(BIN)/python -m local --standby $(STANDBY)

serve: $(READY)  ## keep the vendor and Secrets Manager up on loopback, for `python -m handler` and the AWS CLI
	$(BIN)/python -m local serve

test: $(READY)  ## lint, types and every test
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -n auto

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

bench: $(READY)  ## what a tick costs, beside the naive function: tables here and in docs/PERFORMANCE.md (4 min; ROUNDS=15)
	$(BIN)/python -m bench --rounds $(ROUNDS)

format: $(READY)  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

fuzz: $(READY)  ## the property tests with other and many more examples (EXAMPLES=10000: some minutes)
	FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest tests/unit -m hypothesis -n auto

study: $(READY)  ## years of faults through the real handler: writes docs/RELIABILITY.md (about 25 min on 2 cores)
	$(BIN)/python -m local.simulate

# mutmut has a venv of its own: nobody else needs it.
MUTATION := .venv-mutation/bin
MUTANTS ?=
.PHONY: mutation

$(MUTATION)/.ready: requirements.txt requirements-dev.txt requirements-mutation.txt
	$(NEW_ENOUGH)
	$(PYTHON) -m venv .venv-mutation
	$(MUTATION)/python -m pip install --quiet --disable-pip-version-check -r requirements-mutation.txt
	@touch $@

mutation: $(MUTATION)/.ready  ## change handler/ everywhere, and see that a test notices (an hour or two; MUTANTS='handler.policy.*')
	rm -rf mutants
	$(MUTATION)/mutmut run $(MUTANTS)
	$(MUTATION)/python -m scripts.mutation $(MUTANTS)

.PHONY: lock
lock: $(READY)  ## requirements.lock anew, after a change of requirements.txt: what ships, by hash
	$(BIN)/python -m scripts.lock

clean:  ## remove what these commands made
	rm -rf .venv* build .aws-sam out mutants .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf consumers/python/build consumers/python/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The deployment. Its tools have venvs of their own, since what they pin clashes with ours and with one another.
ENV ?= sandbox
SAM := .venv-sam/bin
CHECKOV := .venv-checkov/bin
# SAM builds with the Python that it finds first, and shall report nothing to AWS.
SAM_ENVIRONMENT := PATH="$(CURDIR)/$(SAM):$$PATH" SAM_CLI_TELEMETRY=0

.PHONY: build build-RefreshFunction validate deploy

$(SAM)/.ready: requirements-deploy.txt
	$(PYTHON) -m venv .venv-sam
	$(SAM)/python -m pip install --quiet --disable-pip-version-check -r requirements-deploy.txt
	@touch $@

$(CHECKOV)/.ready: requirements-checkov.txt
	$(PYTHON) -m venv .venv-checkov
	$(CHECKOV)/python -m pip install --quiet --disable-pip-version-check -r requirements-checkov.txt
	@touch $@

build: $(SAM)/.ready  ## what `sam deploy` uploads, for arm64 and Python 3.13, and one zip of it with its hash
	$(SAM_ENVIRONMENT) sam build
	$(SAM)/python -m scripts.bundle

build-RefreshFunction:  # `sam build` runs this, and says where to
	@test -n "$(ARTIFACTS_DIR)" || { echo "sam build runs this target; you want: make build" >&2; exit 2; }
	@$(NEW_ENOUGH)
	$(PYTHON) -m scripts.package "$(ARTIFACTS_DIR)"

validate: $(SAM)/.ready $(CHECKOV)/.ready  ## the template: as SAM, as the CloudFormation that it becomes, and by checkov
	$(SAM_ENVIRONMENT) sam validate --lint --region us-east-1  # a lint needs a region, any
	AWS_DEFAULT_REGION=us-east-1 $(SAM)/python -m scripts.translate build/template.json
	$(SAM)/cfn-lint build/template.json
	$(CHECKOV)/checkov --file template.yaml build/template.json --framework cloudformation --skip-download --compact --quiet

deploy: build  ## build, then deploy to AWS (ENV=sandbox or production, as in samconfig.toml)
	$(SAM_ENVIRONMENT) sam deploy --config-env $(ENV)

# A local AWS to deploy to, in a venv of its own like the other tools.
MINISTACK := .venv-ministack/bin

.PHONY: deploy-local

$(MINISTACK)/.ready: requirements-ministack.txt
	$(PYTHON) -m venv .venv-ministack
	$(MINISTACK)/python -m pip install --quiet --disable-pip-version-check -r requirements-ministack.txt
	@touch $@

deploy-local: $(READY) $(MINISTACK)/.ready  ## deploy to an emulated AWS on loopback, IAM enforced, and check it there (2 min)
	$(BIN)/python -m scripts.deploy_local
