"""The worked examples in docstrings are true."""

import doctest
import importlib
import pkgutil

import pytest

import gatewise
from gatewise import service, training, vocab

NAMES = [
    f"{room.__name__}.{module.name}"
    for room in (vocab, service, training, gatewise)
    for module in pkgutil.iter_modules(room.__path__)
    if module.name != "__main__"
]


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_true(name):
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner()
    globals_ = vars(module) | {"np": importlib.import_module("numpy")}
    for example in finder.find(module, globs=globals_):
        runner.run(example)
    assert runner.summarize(verbose=False).failed == 0
