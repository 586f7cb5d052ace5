# The two commands are `make demo` and `make test`; each makes .venv itself.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# TensorFlow's smaller build has wheels for Linux on x86-64 only in every release we support.
TENSORFLOW ?= $(if $(filter Linux-x86_64,$(shell uname -sm | tr ' ' -)),train-cpu,train)
BIN := .venv/bin
INSTALLED := .venv/installed
LANGUAGES := runs/languages

.PHONY: help install demo test check format benchmark clean

help:
	@echo "make demo       prepare real texts, train on them, evaluate, score, predict"
	@echo "make test       run the tests"
	@echo "make check      run ruff and mypy"
	@echo "make format     let ruff rewrite the code"
	@echo "make benchmark  time the exported model against Keras"
	@echo "make install    make .venv, which the others do too"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt \
		--editable ".[$(TENSORFLOW),serve,demo,benchmark,test]"
	touch $@

demo: $(INSTALLED)
	PATH="$(CURDIR)/$(BIN):$$PATH" examples/languages/demo.sh $(LANGUAGES)

test: $(INSTALLED)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# What mypy reads: the folders of the repository linked together as the one package that they are,
# for it does not look through the import hook of an editable install.
TREE := build/tree/gatewise

check: $(INSTALLED)
	rm -rf $(TREE)
	mkdir -p $(TREE)
	ln -s $(CURDIR)/gatewise/* $(CURDIR)/vocab $(CURDIR)/service $(CURDIR)/training $(TREE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: $(INSTALLED)
	$(BIN)/python -m benchmarks.latency.latency

clean:
	rm -rf .venv runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
