# One verb a need; CI runs the same ones. All that they install goes to $(VENV); `make clean` takes it away again.
#   make demo [URL=...]   a request from this checkout      make test        the whole suite, four ways
#   make check            lint + types + test               make build       the package and its test tools, in $(VENV)
# Another interpreter: make test PYTHON=python3.13

PYTHON ?= python3
VENV ?= .venv
URL ?=
SECONDS ?= 60
REQUESTS ?= 200000
LOOP ?= asyncio
ARGS ?=

BIN := $(VENV)/bin
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
PYTEST := $(BIN)/python -m pytest
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PARSER := $(wildcard aioreq/*.pyx aioreq/*.pxi) aioreq/framing.py

.PHONY: demo test test-compiled test-pure test-debug test-uvloop build lint format types bench fuzz soak check wheel clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

# --- verbs ---

demo: $(VENV)/demo-stamp
	$(BIN)/python examples/demo.py $(URL)

test: test-compiled test-pure test-debug test-uvloop

test-compiled: build
	@echo "== the suite on the compiled parser"
	AIOREQ_EXTENSIONS=required $(PYTEST) $(ARGS)

test-pure: $(VENV)/test-stamp
	@echo "== the suite on the pure parser"
	AIOREQ_EXTENSIONS=off $(PYTEST) -m "not packaging" $(ARGS)

test-debug: build
	@echo "== the suite in asyncio's debug mode"
	AIOREQ_EXTENSIONS=required PYTHONASYNCIODEBUG=1 $(PYTEST) -m "not packaging and not slow" $(ARGS)

test-uvloop: build
	@echo "== the suite on uvloop"
	AIOREQ_EXTENSIONS=required $(PYTEST) --loop uvloop -m "not packaging and not slow" $(ARGS)

build: $(VENV)/test-stamp $(VENV)/parser-stamp

lint: $(VENV)/dev-stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/dev-stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/dev-stamp
	$(BIN)/mypy

check: lint types test

bench: build $(VENV)/bench-stamp
	$(BIN)/python -m benchmarks $(ARGS)

fuzz: build
	$(BIN)/python -m fuzz --seconds $(SECONDS) $(ARGS)

soak: build
	AIOREQ_EXTENSIONS=required $(BIN)/python tests/soak.py --requests $(REQUESTS) --loop $(LOOP) $(ARGS)

wheel: $(VENV)/dev-stamp
	AIOREQ_EXTENSIONS=required $(BIN)/python -m build --outdir dist .

clean:
	rm -rf $(VENV) build dist aioreq.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
	rm -f aioreq/_parser.c aioreq/*.so aioreq/*.pyd
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- what the verbs need: each stamp is a file, so that nothing is installed or compiled twice ---

# Named by version: another PYTHON makes the environment anew, instead of running the old one in silence.
$(VENV)/python-$(VERSION)-stamp:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "aioreq needs Python 3.11 or newer, and $(PYTHON) is %d.%d: make ... PYTHON=python3.x" % sys.version_info[:2])'
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# The package in place and what it is built with; compiling is the next two rules' job.
$(VENV)/run-stamp: $(VENV)/python-$(VERSION)-stamp pyproject.toml setup.py
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' > $(VENV)/build-requires.txt
	$(INSTALL) -r $(VENV)/build-requires.txt
	AIOREQ_EXTENSIONS=off $(INSTALL) --no-build-isolation -e .
	@touch $@

# To try aioreq no compiler is needed: without one the pure parser runs. To test it, one is.
$(VENV)/demo-stamp: $(VENV)/run-stamp $(PARSER)
	AIOREQ_EXTENSIONS=auto $(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

$(VENV)/parser-stamp: $(VENV)/run-stamp $(PARSER)
	AIOREQ_EXTENSIONS=required $(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

$(VENV)/%-stamp: $(VENV)/run-stamp
	AIOREQ_EXTENSIONS=off $(INSTALL) --no-build-isolation -e '.[$*]'
	@touch $@
