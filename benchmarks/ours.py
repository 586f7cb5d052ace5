"""Gatewise as one of the classifiers that are compared: trained as any user would.

Knows the splits, and nothing of the other classifiers.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from gatewise.training.config import config as configs
from gatewise.training.config.config import Config
from gatewise.training.pipeline import train
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.errors import GatewiseError
from peers import Outcome, Settings
from splits import Split, written


@dataclass(frozen=True)
class Gatewise:
    """Gatewise, trained as `gatewise train` does it.

    Attributes:
        title: What the table calls it.
        assignments: Settings of every run.
        of_set: Further settings of the runs on a set, by its name.
    """

    title: str
    assignments: Sequence[str] = ()
    of_set: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def config(self, name: str, seed: int = 1) -> Config:
        """Every setting of a run."""
        further = self.of_set.get(name, ())
        assignments = [*self.assignments, *further, f"training.seed={seed}"]
        return configs.load(assignments=assignments).without_places()

    def settings(self, name: str) -> Settings:
        """Every setting; of a folder or file of vectors, its name."""
        told = self.config(name).model_dump(mode="json")
        if vectors := told["network"]["vectors"]:
            told["network"]["vectors"] = Path(vectors).name
        return told

    def measure(self, split: Split, seed: int) -> Outcome:
        """Trains a model folder, and takes the figures that it was written with."""
        with written(split) as corpora, TemporaryDirectory() as scratch:
            start = time.process_time()
            run = train(
                corpora,
                Path(scratch) / "model",
                self.config(split.name, seed),
                StopAtBadRows(),
                lambda _: None,
            )
            took = time.process_time() - start
        if run.test is None:
            raise GatewiseError("expected a test corpus")
        told = f"{run.parameters:,} parameters"
        return Outcome(run.test.accuracy, run.validation.accuracy, took, told)
