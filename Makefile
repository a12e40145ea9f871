# One verb a need; CI runs the same ones. All that they install goes to $(VENV); `make clean` takes it away again.
#   make demo [URL=...]   a request from this checkout      make test        the whole suite, four ways
#   make check            lint + types + test               make build       the package and its test tools, in $(VENV)
#   make bench-quick      what a request costs, a minute    make bench       the same of every client, some twenty minutes
# Another interpreter: make test PYTHON=python3.13

PYTHON ?= python3
VENV ?= .venv
URL ?=
SECONDS ?= 60
REQUESTS ?= 200000
LOOP ?= asyncio
RESULTS ?=
ARGS ?=
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)

BIN := $(VENV)/bin
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
PYTEST := $(BIN)/python -m pytest
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
ON_A_LOOP := "not packaging and not longer and not slow and not no_loop"
PARSER := $(wildcard aioreq/*.pyx aioreq/*.pxi) aioreq/framing.py

.PHONY: demo test test-compiled test-pure test-debug test-uvloop build lint format types bench bench-quick bench-parser fuzz soak check wheel clean
ifndef AT_ONCE
.NOTPARALLEL:
endif
.DELETE_ON_ERROR:

# --- verbs ---

demo: $(VENV)/demo-stamp
	$(BIN)/python examples/demo.py $(URL)

# The longest run first. Make older than 4.0 can't keep outputs apart: there, one after the other.
test: build
	@echo "== the suite four ways, $(JOBS) at a time; what each one says follows when it has ended"
	@$(MAKE) --no-print-directory AT_ONCE=yes $(if $(filter output-sync,$(.FEATURES)),-j$(JOBS) --output-sync=target) \
		test-compiled test-pure test-debug test-uvloop

# Of what ARGS name, a run that leaves some tests out may have none; the compiled one has all.
OR_NONE = $(if $(AT_ONCE),|| [ $$? -eq 5 ])

test-compiled: build
	@echo "== the suite on the compiled parser"
	AIOREQ_EXTENSIONS=required $(PYTEST) $(ARGS)

test-pure: $(VENV)/test-stamp
	@echo "== the suite on the pure parser"
	AIOREQ_EXTENSIONS=off $(PYTEST) -m "not packaging and not longer" $(ARGS) $(OR_NONE)

test-debug: build
	@echo "== the suite in asyncio's debug mode"
	AIOREQ_EXTENSIONS=required PYTHONASYNCIODEBUG=1 $(PYTEST) -m $(ON_A_LOOP) $(ARGS) $(OR_NONE)

test-uvloop: build
	@echo "== the suite on uvloop"
	AIOREQ_EXTENSIONS=required $(PYTEST) --loop uvloop -m $(ON_A_LOOP) $(ARGS) $(OR_NONE)

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

# RESULTS=benchmarks/results keeps figures and chart there.
bench: build $(VENV)/bench-stamp $(VENV)/apart-stamp
	$(BIN)/python -m benchmarks --loop $(LOOP) $(if $(RESULTS),--json $(RESULTS)/$(LOOP).json --chart $(RESULTS)/small-json-$(LOOP).svg) $(ARGS)

bench-quick: build $(VENV)/bench-stamp
	$(BIN)/python -m benchmarks --quick --loop $(LOOP) $(ARGS)

bench-parser: build $(VENV)/bench-stamp
	AIOREQ_EXTENSIONS=required $(PYTEST) benchmarks/test_parser.py --benchmark-columns=median,iqr,rounds $(ARGS)

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

# One brings another urllib3, one a pytest plugin: they are kept apart. Where one can't be installed, it isn't measured.
$(VENV)/apart-stamp: $(VENV)/run-stamp benchmarks/apart.txt
	rm -rf $(VENV)/apart
	-$(INSTALL) --target $(VENV)/apart -r benchmarks/apart.txt
	@touch $@

$(VENV)/%-stamp: $(VENV)/run-stamp
	AIOREQ_EXTENSIONS=off $(INSTALL) --no-build-isolation -e '.[$*]'
	@touch $@
