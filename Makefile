# `make` lists the targets. Each sets up .venv first where that has not been done.

PYTHON ?= python3
ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
# Installs what stands behind -r; says how far it is, since pip's own bar shows nowhere but on a terminal.
INSTALL = install() { \
	(seconds=0; while sleep 5 >/dev/null 2>&1 && kill -0 $$$$ 2>/dev/null; do seconds=$$((seconds + 5)); \
		echo "  $$seconds s, $$(du -sm $(VENV) | cut -f 1) MB in $(VENV)"; done) & \
	trap "kill $$!" EXIT; \
	$(PY) -m pip install --quiet --disable-pip-version-check --no-input -r $$1; }; install
# A worker more than cores, for runs of several processes wait for each other. A file is one worker's, which
# makes its fixtures once; tests/conftest.py puts long files first.
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PARALLEL := --numprocesses $(WORKERS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup train test test-fast test-kernels bench notebooks lint format format-check types clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' Makefile
	@echo
	@echo '  make train ARGS="trainer.max_epochs=3"   arguments for train.py, or for pytest after test'
	@echo '  make setup PYTHON=python3.12             another interpreter (3.10 or newer) for a new .venv'

setup: $(INSTALLED) ## Create .venv and install the pinned requirements

train: $(INSTALLED) ## Train the default model, or what ARGS says
	@$(PY) train.py $(ARGS)

test: $(INSTALLED) ## Run all tests, on all cores
	@$(PY) -m pytest $(PARALLEL) --durations=40 $(ARGS)

test-fast: $(INSTALLED) ## Run the tests that are not marked slow
	@$(PY) -m pytest $(PARALLEL) -m "not slow" $(ARGS)

# As a processor without vector units past SSE 4.1 rounds, as one with AVX2 does, and as this one does.
KERNELS := "ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41" \
	"ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_CBWR=COMPATIBLE" "OMP_NUM_THREADS=2"

test-kernels: $(INSTALLED) ## Run all tests three times, as three kinds of processor round
	@failed=0; for kernels in $(KERNELS); do \
		echo "== $$kernels"; \
		env $$kernels $(PY) -m pytest $(PARALLEL) $(ARGS) || failed=1; \
	done; exit $$failed

notebooks: $(INSTALLED) ## Execute notebooks/ and render them into docs/notebooks/
	@$(PY) notebooks/render.py $(ARGS)

bench: $(INSTALLED) ## Measure speed against other implementations
	@$(INSTALL) benchmarks/requirements.txt
	@$(PY) -m benchmarks $(ARGS)

lint: $(INSTALLED) ## Look for mistakes with ruff
	@$(PY) -m ruff check .

format: $(INSTALLED) ## Rewrite the code in the project's format
	@$(PY) -m ruff check --select I --fix --quiet .
	@$(PY) -m ruff format .

format-check: $(INSTALLED) ## Say which files `make format` would rewrite
	@$(PY) -m ruff format --check .

types: $(INSTALLED) ## Check the types with mypy
	@$(PY) -m mypy

clean: ## Remove caches and build output, not .venv and outputs/
	@rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	@find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# A .venv without a working pip is a half-made or a moved one: make it anew.
$(INSTALLED): requirements.txt
	@echo "Installing requirements.txt into $(VENV): some minutes the first time"
	@$(PY) -m pip --version >/dev/null 2>&1 || { \
		$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
			echo "error: '$(PYTHON)' is not Python 3.10 or newer; name one that is: make $(or $(MAKECMDGOALS),setup) PYTHON=python3.12" >&2; \
			exit 1; \
		}; \
		$(PYTHON) -m venv --clear $(VENV); \
	}
	@$(INSTALL) requirements.txt
	@touch $@
