# The two commands are `make demo` and `make test`; each makes .venv itself and installs what it needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# TensorFlow's smaller build has wheels for Linux on x86-64 only in every release we support.
TENSORFLOW ?= $(if $(filter Linux-x86_64,$(shell uname -sm | tr ' ' -)),train-cpu,train)
BIN := .venv/bin
# Each set of packages leaves a file in .venv when it is installed; both may be in the same .venv.
DEMO := .venv/installed-demo
TEST := .venv/installed-test
LOWEST := .venv-lowest/installed
LANGUAGES := runs/languages
# The core of the tests, and what it needs.
CORE_TESTS := tests/vocab tests/service/model tests/service/scoring --ignore tests/service/scoring/ray \
	tests/service/serving/test_app.py tests/gatewise/test_cli.py tests/training/test_pipeline.py
CORE := httpx hypothesis jsonschema pandas pytest pytest-xdist
# Bytecode is compiled when a module is first imported: most of TensorFlow's never are.
INSTALL := -m pip install --quiet --no-compile
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

.PHONY: help install demo test test-all test-lowest check format benchmark clean

help:
	@echo "make demo         prepare real texts, train on them, evaluate, score, predict"
	@echo "make test         run the tests that need nothing but Python, in minutes"
	@echo "make test-all     run the tests that need more: Ray, a browser, Node, an index, ..."
	@echo "make test-lowest  run the core of the tests with the oldest packages that are allowed"
	@echo "make check        run ruff and mypy"
	@echo "make format       let ruff rewrite the code"
	@echo "make benchmark    time the exported model against Keras"
	@echo "make install      make .venv with everything, which the others do too"

install: $(TEST)

$(BIN)/python:
	$(PYTHON) -m venv .venv

$(DEMO): pyproject.toml setup.py constraints.txt | $(BIN)/python
	$(BIN)/python $(INSTALL) --constraint constraints.txt --editable ".[$(TENSORFLOW),demo]"
	touch $@

$(TEST): pyproject.toml setup.py constraints.txt | $(BIN)/python
	$(BIN)/python $(INSTALL) --constraint constraints.txt --editable ".[$(TENSORFLOW),test]"
	touch $@

$(LOWEST): pyproject.toml setup.py constraints-lowest.txt
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python $(INSTALL) --constraint constraints-lowest.txt \
		--editable ".[train-cpu,serve,demo]" $(CORE)
	touch $@

# Remove it to have it written anew.
constraints-lowest.txt:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python $(INSTALL) uv
	echo $(CORE) | tr ' ' '\n' | .venv-lowest/bin/uv pip compile --python-version 3.11 \
		--resolution lowest-direct --no-annotate --no-header --output-file $@ \
		--extra train-cpu --extra serve --extra demo pyproject.toml -

demo: $(DEMO)
	PATH="$(CURDIR)/$(BIN):$$PATH" examples/languages/demo.sh $(LANGUAGES)

test: $(TEST)
	$(PYTEST) --resources none

test-all: $(TEST)
	$(PYTEST) --resources only

# Old packages warn of newer ones, which is nothing to fix here.
test-lowest: $(LOWEST)
	.venv-lowest/bin/python -m pytest --numprocesses 2 --dist loadfile --resources none -W default \
		$(CORE_TESTS)

# What mypy reads: the folders of the repository linked together as the one package that they are,
# for it does not look through the import hook of an editable install.
TREE := build/tree/gatewise

check: $(TEST)
	rm -rf $(TREE)
	mkdir -p $(TREE)
	ln -s $(CURDIR)/gatewise/* $(CURDIR)/vocab $(CURDIR)/service $(CURDIR)/training $(TREE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(TEST)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: $(TEST)
	$(BIN)/python -m benchmarks.latency.latency

clean:
	rm -rf .venv .venv-lowest runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache \
		.hypothesis
