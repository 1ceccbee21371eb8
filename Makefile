# Everything here is plain venv and pip. On another Python:  make install PYTHON=python3.12
# Extra words for pip (say, an index that holds CPU-only torch):  make install PIP_FLAGS='--extra-index-url URL'

PYTHON ?= python3
PIP_FLAGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP_INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt $(PIP_FLAGS)
SOURCES := $(wildcard service tests training bench protos examples .ci hatch_build.py)

# The image: a base with Python and venv, the name to give, which build of torch and an index that holds it.
BASE_IMAGE ?= python:3.11-slim-bookworm
IMAGE ?= glossd:latest
TORCH ?= cpu
TORCH_INDEX ?=
EXTRAS ?=
BUILDER ?= $(firstword $(foreach tool,docker podman buildah,$(if $(shell command -v $(tool)),$(tool))))
BUILD_FLAGS ?=
REVISION := $(shell git rev-parse --short=12 HEAD 2>/dev/null)
CREATED := $(shell git log -1 --format=%cI 2>/dev/null)
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' service/glossd/__init__.py)

# How long the timed parts of the fault tests take together.
SOAK_MINUTES ?= 10

.DEFAULT_GOAL := help
.PHONY: help install demo test soak bench parity check lint format protos constraints locks wheel image image-test clean distclean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## make .venv with everything in it (again only when pins or C sources change)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "glossd needs Python 3.11 or newer; name one with PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "no virtual environment: on Debian and Ubuntu, apt-get install python3-venv"; exit 1; }

$(STAMP): pyproject.toml constraints.txt hatch_build.py $(wildcard service/glossd/native/*.[ch]) | $(BIN)/python
	@echo "installing into $(VENV), a minute or more"
	@$(PIP_INSTALL) hatchling
	@$(PIP_INSTALL) --no-build-isolation -e '.[dev]'
	@$(BIN)/python -c 'from importlib.metadata import version as v; print("glossd", v("glossd"), "with torch", v("torch"))'
	@touch $@

demo: install ## start a server with the embedded model, send it an article, print the digest
	$(BIN)/glossd demo

test: install ## run the tests
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

soak: install ## try every row of docs/reliability.md at length: SOAK_MINUTES for its timed parts, and some for the rest
	GLOSSD_SOAK=$(SOAK_MINUTES) $(BIN)/python -m pytest tests/faults $(PYTEST_FLAGS); \
		status=$$?; $(BIN)/python -m tests.faults.report && exit $$status

parity: install ## the long form of the parity tests: 200 segments each of greedy and beams 2, 4, 6, every family
	GLOSSD_PARITY=full $(BIN)/python -m pytest tests/parity $(PYTEST_FLAGS)

bench: install ## measure speed beside transformers and CTranslate2, about 10 minutes: docs/performance.md
	@$(PIP_INSTALL) --no-build-isolation -e '.[bench]'
	$(BIN)/python -m bench.offline --json docs/data/offline.json
	$(BIN)/python -m bench.steps --json docs/data/steps.json
	$(BIN)/python -m bench.load --json docs/data/load.json
	$(BIN)/python -m bench.queueing --json docs/data/queueing.json
	$(BIN)/python -m bench.quality --json docs/data/quality.json
	$(BIN)/python -m bench.report

check: lint test ## what CI runs: lint, types, proto lint, then the tests (layers and stubs are among them)

lint: install ## ruff, mypy --strict and buf lint
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy --strict $(SOURCES)
	$(BIN)/buf lint protos

format: install ## rewrite the sources in the house style
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/buf format -w protos

protos: install ## write the stubs in service/glossd/v1 from protos/
	$(BIN)/python protos/generate.py

constraints: $(BIN)/python ## resolve the ranges of pyproject.toml afresh and rewrite constraints.txt (torch keeps its pin)
	$(BIN)/python .ci/pin.py

locks: $(BIN)/python ## rewrite the image's hashes in deploy/image/ from constraints.txt (TORCH_INDEX)
	$(BIN)/python .ci/lock.py --torch-index "$(TORCH_INDEX)"

wheel: install ## build the wheel into dist/
	$(BIN)/python -m hatchling build -t wheel

image: ## build the container image (TORCH=cpu with TORCH_INDEX, or TORCH=cuda; EXTRAS=ray)
	$(BUILDER) build $(if $(filter buildah podman,$(BUILDER)),--format docker) -t $(IMAGE) \
		--build-arg BASE_IMAGE=$(BASE_IMAGE) --build-arg TORCH=$(TORCH) --build-arg TORCH_INDEX=$(TORCH_INDEX) \
		--build-arg EXTRAS=$(EXTRAS) --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) --build-arg CREATED=$(CREATED) \
		$(BUILD_FLAGS) .

image-test: ## as root, with buildah and debootstrap: build the image and use it, read-only and non-root
	$(PYTHON) tests/container/try_image.py

clean: ## remove caches and build output
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find $(filter-out %.py,$(SOURCES)) -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## and the virtual environment
	rm -rf $(VENV)
