"""Checkpoints: the whole state of a run in one file, so that it can go on as if never stopped.

A file is a NumPy archive (`.npz`, https://numpy.org/doc/stable/reference/generated/numpy.savez.html)
of plain arrays, without pickle, one of which holds the figures as JSON. It is written whole or not
at all. Knows neither Keras nor what the arrays mean.
"""

import json
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from gatewise.training.fit.diagnosis import Cost
from gatewise.training.fit.progress import Epoch, RateTest
from gatewise.vocab.atomic_files import atomic_write
from gatewise.vocab.errors import GatewiseError
from numpy.typing import NDArray

_FIRST = "first.npz"
"""Name of the file beside a run's checkpoint that holds its first one."""

_FIGURES = "figures"


class CheckpointError(GatewiseError):
    """A checkpoint that cannot be read, or that belongs to another run."""


@dataclass
class TrainingState:
    """Where a run stands, but for its arrays.

    Attributes:
        update: Updates made.
        peak: The peak learning rate.
        lowered: Times the rate was lowered after the cost diverged.
        restored: The update that the run went back to the last time; -1 if it never did.
        cost: The training cost.
        epochs: Epochs that have ended.
        best: The epoch whose weights are the best so far.
        waited: Epochs since then.
        finished: Whether nothing is left to train.
        rate_test: The range test, if there was one.
        findings: What was told of the learning rate.
    """

    peak: float
    update: int = 0
    lowered: int = 0
    restored: int = -1
    cost: Cost = field(default_factory=Cost)
    epochs: list[Epoch] = field(default_factory=list)
    best: Epoch | None = None
    waited: int = 0
    finished: bool = False
    rate_test: RateTest | None = None
    findings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Checkpoint:
    """A run's whole state.

    Attributes:
        standing: Where it stands.
        state: Every array that changes from update to update.
        best: The best weights so far; empty before the first epoch has ended.
    """

    standing: TrainingState
    state: list[NDArray[np.generic]]
    best: list[NDArray[np.generic]]


@dataclass(frozen=True)
class Checkpoints:
    """The place of a run's checkpoint.

    Attributes:
        path: The file.
        identity: What must be the same for a run to go on from it, such as its settings.
    """

    path: Path
    identity: Mapping[str, Any]

    def save(self, checkpoint: Checkpoint) -> None:
        """Writes a checkpoint in the place of the one before."""
        figures = {"identity": self.identity, "standing": asdict(checkpoint.standing)}
        arrays: dict[str, Any] = {_FIGURES: np.array(json.dumps(figures))}
        for name in ("state", "best"):
            for number, array in enumerate(getattr(checkpoint, name)):
                arrays[f"{name}_{number}"] = array
        with atomic_write(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    def keep_first(self) -> None:
        """Keeps the present checkpoint, which is a run's first, beside those to come."""
        with atomic_write(self._first) as temporary:
            shutil.copyfile(self.path, temporary)

    def discard(self) -> None:
        """Takes the checkpoint away."""
        self.path.unlink(missing_ok=True)
        self._first.unlink(missing_ok=True)

    def load_first(self) -> Checkpoint | None:
        """Reads the checkpoint that was kept, as `load` does; None if there is none."""
        return Checkpoints(self._first, self.identity).load()

    @property
    def _first(self) -> Path:
        return self.path.with_name(_FIRST)

    def load(self) -> Checkpoint | None:
        """Reads the checkpoint; None if there is none.

        Raises:
            CheckpointError: If it is damaged, or of a run with other settings or other rows.
        """
        if not self.path.exists():
            return None
        try:
            with self.path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                figures = json.loads(str(file[_FIGURES]))
                arrays = {
                    name: [
                        file[f"{name}_{number}"]
                        for number in range(sum(key.startswith(f"{name}_") for key in file))
                    ]
                    for name in ("state", "best")
                }
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            raise CheckpointError(
                f"{self.path}: the checkpoint cannot be read: it is damaged, or was not written by "
                "a run. Delete it, or train from the start without resuming",
                option="resume",
            ) from None
        self._check(figures["identity"])
        return Checkpoint(_standing(figures["standing"]), arrays["state"], arrays["best"])

    def _check(self, found: Mapping[str, Any]) -> None:
        # Through JSON, as what was saved has been.
        expected = json.loads(json.dumps(self.identity))
        for key in sorted({*expected, *found}):
            if expected.get(key) != found.get(key):
                raise CheckpointError(
                    f"{self.path}: the checkpoint is of another run: it has "
                    f"{key}={found.get(key)!r}, this run has {expected.get(key)!r}. Make them the "
                    "same, or train from the start without resuming",
                    option="resume",
                )


def _standing(figures: dict[str, Any]) -> TrainingState:
    test = figures["rate_test"]
    if test:
        test = {**test, "rates": tuple(test["rates"]), "losses": tuple(test["losses"])}
    return TrainingState(
        **{
            **figures,
            "cost": Cost(**figures["cost"]),
            "epochs": [Epoch(**epoch) for epoch in figures["epochs"]],
            "best": Epoch(**figures["best"]) if figures["best"] else None,
            "rate_test": RateTest(**test) if test else None,
        }
    )
