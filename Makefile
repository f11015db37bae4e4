# Two commands do everything: `make demo` and `make test`. All that is installed goes into .venv and build.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
COLLECTION := build/collections/ansible_collections/localgov/platform
UV := $(BIN)/uv --quiet
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONDONTWRITEBYTECODE :=
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export UV_NO_PROGRESS := 1
# Tests and demos see nothing of the person's own AWS settings.
unexport AWS_PROFILE AWS_DEFAULT_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_REGION
unexport AWS_DEFAULT_REGION AWS_ENDPOINT_URL AWS_CA_BUNDLE AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE AWS_ROLE_ARN
unexport AWS_WEB_IDENTITY_TOKEN_FILE

.DEFAULT_GOAL := help
.PHONY: help install images sandbox status down reset demo plan docs screenshots docs-site lint test bench bench-fleet soak \
  bench-pipeline lock

help: ## show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed $(COLLECTION)

# uv is itself in the lock file; pip installs that one package, with its hash checked, and uv the rest.
$(VENV)/.installed: requirements.lock
	@echo "Installing the locked packages into $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else 0'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@awk '/^[a-z]/ {keep = /^uv==/} keep' requirements.lock > $(VENV)/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock
	@$(UV) pip sync --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	@touch $@

# The checkout is the collection: Ansible finds it through this link.
$(COLLECTION):
	@mkdir -p $(dir $@)
	@ln -sfn ../../../.. $@

images: install ## build what the images need and write their layouts, as the sandbox pushes and runs them
	@$(BIN)/python -m sandbox.layouts

sandbox: images ## start the organisation on this machine
	@$(BIN)/python -m sandbox start

status: install ## say what of the sandbox is up
	@$(BIN)/python -m sandbox status

down: install ## stop the sandbox; its state stays
	@$(BIN)/python -m sandbox stop

reset: install ## stop the sandbox and empty it
	@$(BIN)/python -m sandbox reset

demo: sandbox ## deploy an organisation and three authorities, and send a file through
	@$(BIN)/python -m sandbox.journey

plan: install ## say what site.yml would change, and fail if it is anything: PLAN_FLAGS="-l camden -e drift=true"
	@$(BIN)/ansible-playbook -i inventories/sandbox playbooks/plan.yml --check -e fail_on_changes=true $(PLAN_FLAGS)

docs: install ## write what is generated into the documentation
	@$(BIN)/python docs/role_variables.py
	@$(BIN)/python docs/network_matrix.py
	@$(BIN)/python docs/datasets.py

screenshots: install ## take the pictures of the documentation in a browser
	@tests/packages files/frontend
	@PATH=$$PATH:$$(tests/nodejs) $(BIN)/python -m docs.screenshots

docs-site: install ## the documentation as a site, in build/site; broken links are errors
	@tests/packages docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: install ## check style, types and templates, and the artefact as Galaxy does
	@tests/lint/run
	@tests/lint/galaxy

test: images ## run every check but the slow proofs, which are in bench
	@tests/run

bench: images ## the slow proofs: all of the access matrix, kills, ways to fail, 1 GB uploaded, Molecule's larger scenarios, a small fleet
	@tests/packages files/frontend
	@PATH=$$PATH:$$(tests/nodejs) $(BIN)/python -m pytest -q tests/e2e tests/integration -m slow
	@tests/project files/frontend -m slow
	@tests/project files/dagster/code_server -m slow
	@tests/scenarios
	@$(BIN)/python -m tests.benchmark.fleet --authorities 1

soak: install ## 200 rollouts through faults, 25 kills, 13 interruptions, each compared with one without; SOAK_FLAGS=--help says more
	@$(BIN)/python -m tests.faults.soak $(SOAK_FLAGS)

bench-fleet: images ## how fast a fleet is rolled out, beside other ways of the same; BENCH_FLAGS="--authorities 50 --ways A F" for more
	@$(BIN)/python -m tests.benchmark.fleet $(BENCH_FLAGS)

bench-pipeline: install ## how fast the pipeline is, beside reading and writing the same files and pandas; BENCH_FLAGS=--document writes docs
	@test -x build/benchmark/bin/python || $(UV) venv --python $(BIN)/python build/benchmark
	@$(UV) pip sync --python build/benchmark/bin/python --require-hashes --compile-bytecode \
	  files/dagster/code_server/requirements-bench.lock
	@cd files/dagster/code_server && PYTHONPATH=src:. ../../../build/benchmark/bin/python -m benchmark \
	  ../../../build/bench/pipeline.json $(BENCH_FLAGS)

lock: ## bring requirements.lock up to date with pyproject.toml
	@$(UV) pip compile --universal --python-version 3.11 --no-emit-index-url --generate-hashes --no-annotate \
	  --custom-compile-command "make lock" --group controller --group sandbox --group lint --group docs --group test -o requirements.lock $(LOCK_FLAGS)
