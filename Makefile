# Every target sets up by itself; a second call installs nothing.
PYTHON3 ?= python3
PYTHON := .venv/bin/python
STACK ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: bench chaos help manifests setup quickstart test lint types clean

help: ## What can be made
	@grep -hE '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

setup: ## .venv with the pinned stack and the project (STACK=cpu or STACK=cuda overrides what the NVIDIA driver says)
	@$(PYTHON3) deploy/setup/install.py $(if $(STACK),--stack $(STACK))

quickstart: setup ## Train a tiny Qwen2.5-VL on real videos, into runs/quickstart (ARGS="seed=1 run.name=second" passes overrides on)
	@$(PYTHON) -m museg data synth --output cache/quickstart/data
	@$(PYTHON) -m museg warm-start --data cache/quickstart/data --output cache/quickstart/model
	@$(PYTHON) -m museg sft configs/quickstart_sft.yaml
	@$(PYTHON) -m museg train configs/quickstart.yaml $(ARGS)

test: lint types ## Lint, types and all tests (ARGS="-m 'not slow'" for the quick ones)
	@$(PYTHON) -m pytest $(ARGS)

bench: setup ## All benches of docs/performance.md, one after the other (about 15 minutes; leave the machine alone)
	@for bench in learner decode weights rewards overlap step; do $(PYTHON) -m museg bench $$bench || exit; done

chaos: setup ## Kill and stop every kind of worker in every phase, stop and resume runs, lose a node, then ten minutes of warm-up and ten minutes under watch with a kill every 30 s (ARGS="--blows 200 --seed 1")
	@$(PYTHON) -m tests.chaos.suite $(ARGS)
	@$(PYTHON) -m tests.chaos.stops
	@$(PYTHON) -m tests.chaos.resumes
	@$(PYTHON) -m pytest -m thorough --timeout 1800
	@$(PYTHON) -m tests.chaos.soak --minutes 20 --warm-up 10

lint: setup ## Style and likely mistakes
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .

types: setup ## Type check
	@$(PYTHON) -m mypy

manifests: setup ## Check deploy/kuberay without a cluster (DEFINITIONS=folder of KubeRay's ray.io_*.yaml)
	@$(PYTHON) -m deploy.kuberay.check --definitions $(or $(DEFINITIONS),.)

clean: ## Remove .venv, caches and build leftovers (runs/ stays)
	rm -rf .venv cache build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
