"""One framework's training run in a process of its own, for two would fight over the threads.

    python benchmarks/trainer.py WAY FOLDER RECIPE

Reads the texts that `recipe.write` has left in the folder and prints what `Trained.as_json` says.
"""

import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

from process import FailedError, last_line
from recipe import Fit, Recipe, Trained, read, read_trained

GATEWISE = "Gatewise"
WAYS = {
    GATEWISE: ("in_gatewise", "fit"),
    "Keras": ("in_keras", "fit"),
    "Keras, by length": ("in_keras", "fit_by_length"),
    "PyTorch": ("in_pytorch", "fit"),
    "PyTorch, one thread": ("in_pytorch", "fit_on_one_thread"),
    "PyTorch, by length": ("in_pytorch", "fit_by_length"),
}
"""The module and function of each; a module is imported only where it is run."""


def run(way: str, folder: Path, recipe: Recipe) -> Trained:
    """Trains in a process of its own.

    Args:
        way: One of `WAYS`.
        folder: Where the texts are.
        recipe: What to train.

    Raises:
        FailedError: If the process failed.
    """
    arguments = [way, str(folder), json.dumps(asdict(recipe))]
    try:
        return read_trained(last_line(Path(__file__).name, arguments))
    except FailedError as error:
        raise FailedError(f"{way}: {error}") from None


def main(way: str, folder: str, recipe: str) -> None:
    """See the module."""
    module, function = WAYS[way]
    fit: Fit = getattr(importlib.import_module(module), function)
    parts = read(Path(folder))
    trained = fit(Recipe(**json.loads(recipe)), parts["train"], parts["test"])
    sys.stdout.write(trained.as_json() + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
