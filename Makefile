# Two commands do everything on a fresh Debian 12 with Python 3.11, Go and Rust:
#   make demo   a whole cluster with Wasm pods, installed, upgraded and left clean before your eyes
#   make test   every test, on real containerd 1.6 to 2.3
# What they build is kept in ${RCM_CACHE:-~/.cache/runtime-class-manager}.

SHELL := /bin/bash
PYTHON := .venv/bin/python
STAMP := .venv/.ready
# Node containers are light, but this many test processes want a core each.
WORKERS ?= $(shell nproc)
# The release that demo-node runs on.
CONTAINERD ?= 2.3
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: demo demo-node demo-down test unit lint format matrix mutants simulate soak bench proto crd pins down clean

# Each demo builds only what it needs. KEEP=1 leaves the cluster running, demo-down ends it.
DEMO_PARTS := kubernetes shims rootfs containerd-1.7 containerd-2.3 node-1.7 node-2.3 \
  image-agent image-controller
demo: $(STAMP)
	@$(PYTHON) -m tests.testbed build $(DEMO_PARTS)
	@$(PYTHON) -m tests.demo cluster $(if $(KEEP),--keep)

demo-down: $(STAMP)
	@$(PYTHON) -m tests.demo down

# The agent alone, on one node without a cluster: make demo-node CONTAINERD=1.7
demo-node: $(STAMP)
	@$(PYTHON) -m tests.testbed build shims rootfs containerd-$(CONTAINERD) node-$(CONTAINERD)
	@CONTAINERD=$(CONTAINERD) $(PYTHON) -m tests.demo node

# What fails is run once more, alone: nodes share this machine, and a deadline of systemd or of a
# test may pass while others compile or boot. It must pass then, and the log shows both.
test: $(STAMP) testbed
	$(PYTHON) -m pytest -n $(WORKERS) $(PYTEST_ARGS) || { \
	  echo "== once more, alone: what failed"; \
	  $(PYTHON) -m pytest --last-failed --last-failed-no-failures none $(PYTEST_ARGS); }

# The tests that need neither root nor Docker.
unit: $(STAMP)
	$(PYTHON) -m pytest -n $(WORKERS) -m "not node and not real" $(PYTEST_ARGS)

# containerd version x starting configuration, judged by the real binaries.
matrix: $(STAMP) testbed
	@$(PYTHON) -m tests.matrix

# Deliberately wrong variants of agent, controller and API client, each to be caught by a test.
mutants: $(STAMP)
	@$(PYTHON) -m tests.mutants

# Simulated clusters, as many planner steps as you like: make simulate STEPS=10000000 SEED=1
STEPS ?= 1000000
SEED ?= 1
simulate: $(STAMP)
	@$(PYTHON) -m tests.simulation --steps $(STEPS) --seed $(SEED)

# A Shim's life on a real cluster with kill -9 at random moments: make soak RUNS=30 SEED=1
RUNS ?= 30
soak: $(STAMP) testbed
	@$(PYTHON) -m tests.soak --runs $(RUNS) --seed $(SEED)

# One JSON document with every figure that the README quotes.
bench: $(STAMP) testbed
	@$(PYTHON) -m tests.bench

lint: $(STAMP)
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/basedpyright
	.venv/bin/lint-imports
	.venv/bin/deptry .
	.venv/bin/codespell
	.venv/bin/shellcheck .ci/run images/trim
	$(PYTHON) -m rcm_agent.host.proto.generate --check
	$(PYTHON) -m rcm_api.crd --check

format: $(STAMP)
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

proto: $(STAMP)
	$(PYTHON) -m rcm_agent.host.proto.generate

crd: $(STAMP)
	$(PYTHON) -m rcm_api.crd

# New pins from pyproject.toml; the files hold names, versions and hashes only.
pins:
	for group in agent dev uv image-agent image-controller; do $(MAKE) requirements/$$group.txt -B; done

UV_COMPILE = .venv/bin/uv pip compile --quiet --generate-hashes --no-annotate --no-header --python-version 3.11
requirements/agent.txt: ; $(UV_COMPILE) pyproject.toml -o $@
requirements/dev.txt: ; $(UV_COMPILE) pyproject.toml --group dev -o $@
requirements/uv.txt: ; echo uv | $(UV_COMPILE) - -o $@
# The images hold no more than they import, in the versions that everything else has.
requirements/image-%.txt: ; $(UV_COMPILE) images/$*/requirements.in -c requirements/agent.txt -o $@

.PHONY: testbed
testbed: $(STAMP)
	@$(PYTHON) -m tests.testbed build

down: $(STAMP)
	@$(PYTHON) -m tests.testbed down --all

$(STAMP): requirements/dev.txt requirements/uv.txt
	python3 -m venv .venv || { apt-get update && apt-get install -y python3-venv && python3 -m venv .venv; }
	.venv/bin/python -m pip install --quiet --require-hashes -r requirements/uv.txt
	.venv/bin/uv pip sync --quiet --require-hashes --python .venv/bin/python requirements/dev.txt requirements/uv.txt
	touch $@

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
