"""One framework's training run in a process of its own, for two would compete for the threads.

    python -m benchmarks.training.frameworks.worker FRAMEWORK FILE

The file holds the arguments of `Fit`, pickled. Prints the run as JSON.
"""

import importlib
import json
import pickle
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.training.frameworks.shared import Fit

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


def main(framework: str, file: str) -> None:
    """See the module."""
    module, function = FRAMEWORKS[framework]
    fit: Fit = getattr(importlib.import_module(f"{__package__}.{module}"), function)
    run = fit(*pickle.loads(Path(file).read_bytes()))
    sys.stdout.write(json.dumps(asdict(run)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
