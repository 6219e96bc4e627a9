# make up | make test; `make help` lists the rest.
SHELL := /bin/bash
STACK ?= dev
ENGINE ?= auto
PYTEST_ARGS ?=
# Parts of the bench by name (tests/bench/parts.py); none: all of them.
BENCH ?=
# One worker for each engine (tests/conftest.py), which share the machine while one of their stacks waits.
PARALLEL ?= -n 2
STACKCTL := .venv/bin/stackctl
.DEFAULT_GOAL := help
.PHONY: help setup engine up preview destroy outputs render images every-image test test-unit test-e2e soak screenshots lint format bench client docs snapshots lock

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup:  ## make .venv from the lock
	@scripts/setup

engine:  ## see to a Docker engine and Compose
	@scripts/engine

up: setup engine  ## bring STACK up (ENGINE=auto|pulumi|compose|render)
	@$(STACKCTL) up --stack $(STACK) --engine $(ENGINE)

preview: setup engine  ## show what `up` would change
	@$(STACKCTL) preview --stack $(STACK)

destroy: setup  ## remove STACK and its data (outside development it asks; YES=1: it does not)
	@$(STACKCTL) destroy --stack $(STACK) $(if $(YES),--yes)

outputs: setup  ## URLs, client and users of STACK
	@$(STACKCTL) outputs --stack $(STACK)

render: setup  ## write STACK as a Compose file or Kubernetes YAML below rendered/
	@$(STACKCTL) render --stack $(STACK)

images: setup engine  ## build the images that STACK lacks
	@$(STACKCTL) images --stack $(STACK)

every-image: setup engine  # those that the stack of no settings does not run as well: tests and bench start some by themselves
	@.venv/bin/python -c 'from stackctl.images.build import build; build()'

test: setup engine lint every-image  ## everything: lint, unit, contract and e2e
	@scripts/test-tools
	@.venv/bin/python -m pytest $(PARALLEL) $(PYTEST_ARGS)

test-unit: setup  ## unit and contract tests: no engine, minutes (PYTEST_ARGS='-n 2': half of them)
	@.venv/bin/python -m pytest tests/unit tests/contract $(PYTEST_ARGS)

test-e2e: setup engine every-image  ## tests against real containers
	@scripts/test-tools
	@.venv/bin/python -m pytest tests/e2e $(PARALLEL) $(PYTEST_ARGS)

soak: setup engine every-image  ## what CI cannot hold: earlier stacks, every Python, every route as everybody; with KUBECONFIG a cluster
	@scripts/test-tools
	@SOAK=1 .venv/bin/python -m pytest tests/soak tests/e2e/test_client_alone.py tests/e2e/test_object_stores.py -p no:xdist $(PYTEST_ARGS)
	@SOAK=1 .venv/bin/python -m pytest tests/e2e/test_realm_changes.py tests/e2e/test_realm_job.py tests/e2e/test_kubernetes.py -p no:xdist $(PYTEST_ARGS)
	@MATRIX=every MATRIX_ROUNDS=20 MATRIX_SEED=$$RANDOM .venv/bin/python -m pytest tests/e2e/test_matrix.py -p no:xdist $(PYTEST_ARGS)

screenshots: setup engine  ## take the pictures in docs/images anew
	@scripts/test-tools
	@E2E_SCREENSHOTS=docs/images .venv/bin/python -m pytest tests/e2e/test_browser.py -k compose $(PYTEST_ARGS)

lint: setup  ## ruff, mypy --strict and shellcheck
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy
	@.venv/bin/mypy --python-version 3.10 -p mlflow_sso_client
	@command -v shellcheck > /dev/null || scripts/test-tools
	@shellcheck -x -e SC1091 scripts/* .ci/run images/*/entrypoint images/mlflow/addresses images/base/debian-root images/keycloak/train

format: setup  ## rewrite the code in its style
	@.venv/bin/ruff check --fix . && .venv/bin/ruff format .

bench: setup engine every-image  ## what the stack costs, as ratios within one run; wants a quiet machine (BENCH=calls,sweep: parts of it)
	@BENCH='$(BENCH)' .venv/bin/python -m tests.bench.run

client: setup  ## build the wheel of mlflow-sso-client into dist/, for people without this checkout
	@rm -rf client/build dist/mlflow_sso_client-*.whl
	@SOURCE_DATE_EPOCH=315532800 .venv/bin/python -m pip wheel -q --no-deps --no-build-isolation --disable-pip-version-check -w dist ./client
	@rm -rf client/build && echo "$$(ls dist/mlflow_sso_client-*.whl)"

docs: setup  ## rewrite the table in docs/settings.md, the schema beside it, and the counts in docs/security.md
	@sed -i '/^| key /,$$d' docs/settings.md && .venv/bin/python -m settings.reference >> docs/settings.md
	@.venv/bin/python -m settings.schema > docs/settings.schema.json
	@.venv/bin/python -m tests.matrix.counts

snapshots: setup  ## write the logical names of resources anew, after a component was added
	@SNAPSHOT=1 .venv/bin/python -m pytest -q tests/contract/test_program.py tests/contract/test_kubernetes_program.py -k stable

lock: setup  ## compile pyproject.toml into requirements.txt
	@uv pip compile -q pyproject.toml --extra dev --generate-hashes --universal --python-version 3.11 \
	  --no-annotate --no-header -o requirements.txt
