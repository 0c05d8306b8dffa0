# Everything a developer or CI runs. `make help` lists it; every target works in a clean clone with nothing installed.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help venv run servers lint ruff mypy layers twin structure test check prove bench docs lock clean

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --no-input -q
ROOMS := $(wildcard src tests benchmarks proofs tools examples setup.py)
TYPED := $(foreach room,$(ROOMS),$(if $(shell find $(room) -name '*.py' -print -quit),$(room)))
ARGS ?=
say = @printf '\n== %s\n' "$(1)" >&2

help:  ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(BIN)/python:
	$(call say,virtual environment)
	@python=$$(sh tools/find_python.sh) && "$$python" -c 'import sys; print(sys.executable, sys.version)' >&2 && "$$python" -m venv .venv

# A stamp is newer than what it was made from. The test lock holds everything that the run-time lock holds.
.venv/run.stamp: requirements/run.txt | $(BIN)/python
	$(call say,run-time packages)
	@test .venv/test.stamp -nt $< || $(PIP) --require-hashes -r $<
	@touch $@

.venv/test.stamp: requirements/test.txt | $(BIN)/python
	$(call say,packages for tests and benchmarks)
	@$(PIP) --require-hashes -r $<
	@touch $@

.venv/project.stamp: pyproject.toml $(wildcard setup.py src/tiercel/*/native/*.c src/tiercel/*/native/*.h)
	$(call say,tiercel)
	@$(PIP) --no-deps --no-build-isolation --no-index -e .
	@touch $@

venv: .venv/test.stamp .venv/project.stamp  ## make .venv with the locked packages and the project

run: .venv/run.stamp .venv/project.stamp  ## run the demo: make run ARGS="--seconds 10 --json"
	$(call say,tiercel demo $(ARGS))
	@exec $(BIN)/tiercel demo $(ARGS)

servers: venv  ## install the servers that the tests talk to
	$(call say,servers)
	@$(BIN)/python tools/install_servers.py

lint: venv ruff mypy layers twin structure

ruff: venv
	$(call say,ruff)
	@$(BIN)/ruff check $(ROOMS)
	@$(BIN)/ruff format --check $(ROOMS)

mypy: venv
	$(call say,mypy --strict: $(TYPED))
	@$(BIN)/mypy $(TYPED)

layers: venv
	$(call say,import-linter)
	@$(BIN)/lint-imports

twin: venv
	$(call say,generated twin)
	@$(BIN)/python tools/unasync.py --check

structure: venv
	$(call say,structure)
	@$(BIN)/python tools/check_structure.py

test: servers lint  ## everything: servers, lint, types, structure, and every test on real servers
	$(call say,tests)
	@$(BIN)/python -m pytest --cov --durations=10 $(ARGS) || { status=$$?; [ $$status -eq 1 ] || exit $$status; \
	printf '\n== failed above: a second look, each named; one that passes now depends on the machine, and is a bug to find\n' >&2; \
	$(BIN)/python -m pytest -v --last-failed --last-failed-no-failures none $(ARGS); }

check: lint  ## lint, types, structure and the tests that need no server: under two minutes
	$(call say,tests without servers)
	@TIERCEL_TEST_SERVERS=off $(BIN)/python -m pytest -q -m "not server and not slow" $(ARGS)

prove: servers  ## run every program in proofs/: one promise each, with its figure; ARGS=stress: those named so
	@$(BIN)/python -m tools.run_programs proofs $(ARGS)

bench: servers  ## run every program in benchmarks/; ARGS=micro: those named so
	@$(BIN)/python -m tools.run_programs benchmarks $(ARGS)

docs: venv  ## check every link of the documents and run their examples
	$(call say,links)
	@$(BIN)/python tools/check_docs.py
	$(call say,examples)
	@test ! -d tests/docs || $(BIN)/python -m pytest -q tests/docs

lock: venv  ## write requirements/*.txt anew from pyproject.toml
	@$(BIN)/python tools/lock.py

clean:  ## remove what was built, and the virtual environment
	rm -rf .venv build dist .coverage .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find src tests -name '__pycache__' -prune -exec rm -rf {} +
