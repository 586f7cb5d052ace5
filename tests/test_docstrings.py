"""The worked examples in docstrings are true."""

import doctest
import importlib
import pkgutil

import pytest

import gatewise
from gatewise import service, training, vocab

NAMES = sorted(
    {
        module.name
        for package in (vocab, service, training, gatewise)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not module.name.endswith(".__main__")
    }
)

_OF_EXTRA_TEACHER = tuple(
    f"gatewise.training.teacher.{name}" for name in ("fine_tuning", "torch_encoder")
)


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_true(name):
    if name in _OF_EXTRA_TEACHER:
        pytest.importorskip("torch", reason="of the extra teacher")
        pytest.importorskip("transformers", reason="of the extra teacher")
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner()
    globals_ = vars(module) | {"np": importlib.import_module("numpy")}
    for example in finder.find(module, globs=globals_):
        runner.run(example)
    assert runner.summarize(verbose=False).failed == 0
