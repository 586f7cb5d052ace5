"""One framework's training run in a process of its own, for two would compete for the threads.

    python -m benchmarks.training.frameworks.worker FRAMEWORK FOLDER RECIPE

Prints the run as JSON.
"""

import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.training.frameworks import shared
from benchmarks.training.frameworks.shared import Fit, Recipe

GATEWISE = "Gatewise"
FRAMEWORKS = {
    GATEWISE: ("gatewise", "fit"),
    "Keras": ("keras_model", "fit"),
    "Keras, by length": ("keras_model", "fit_by_length"),
    "PyTorch": ("pytorch", "fit"),
    "PyTorch, one thread": ("pytorch", "fit_on_one_thread"),
    "PyTorch, by length": ("pytorch", "fit_by_length"),
}
"""The module and function of each; a module is imported only where it is run."""


def main(framework: str, folder: str, recipe: str) -> None:
    """See the module."""
    module, function = FRAMEWORKS[framework]
    package = "benchmarks.training.frameworks"
    fit: Fit = getattr(importlib.import_module(f"{package}.{module}"), function)
    parts = shared.read(Path(folder))
    run = fit(Recipe(**json.loads(recipe)), parts["train"], parts["test"])
    sys.stdout.write(json.dumps(asdict(run)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
