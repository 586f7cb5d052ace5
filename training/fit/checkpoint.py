"""Checkpoints: the state of a training run in one file, from which it resumes exactly.

A file is a NumPy archive (`.npz`, https://numpy.org/doc/stable/reference/generated/numpy.savez.html)
of plain arrays, without pickle, one of which holds the training state as JSON. It is written
atomically.
"""

import json
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatewise.training.fit.diagnosis import Cost
from gatewise.training.fit.progress import Epoch, RateTest
from gatewise.vocab.atomic_files import atomic_write
from gatewise.vocab.errors import GatewiseError

_FIRST_CHECKPOINT = "first.npz"
"""Name of the file, in the same folder, that holds a run's first checkpoint."""

_JSON = "figures"
"""Name of the array that holds the training state and the run's identity."""


class CheckpointError(GatewiseError):
    """A checkpoint that cannot be read, or that belongs to another run."""


@dataclass
class TrainingState:
    """The state of a run, except for its arrays.

    Attributes:
        peak: The peak learning rate.
        update: Updates made.
        lowered: How many times the rate was lowered after the cost diverged.
        restored: The update of the last checkpoint that was restored; -1 if none was.
        cost: The training cost.
        epochs: The epochs completed.
        best: The epoch with the best weights so far.
        waited: Epochs since the best one.
        finished: Whether training has ended.
        rate_test: The learning-rate range test, if there was one.
        findings: The messages about the learning rate.
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
    """A run's complete state.

    Attributes:
        state: The training state.
        variables: Every array that changes from update to update.
        best_weights: The best weights so far; empty before the end of the first epoch.
    """

    state: TrainingState
    variables: list[NDArray[np.generic]]
    best_weights: list[NDArray[np.generic]]


@dataclass(frozen=True)
class Checkpoints:
    """A run's checkpoint file.

    Attributes:
        path: The file.
        identity: What must not change for a run to resume, such as its settings.
    """

    path: Path
    identity: Mapping[str, Any]

    def save(self, checkpoint: Checkpoint) -> None:
        """Writes a checkpoint, which replaces the previous one."""
        document = {"identity": self.identity, "standing": asdict(checkpoint.state)}
        arrays: dict[str, Any] = {_JSON: np.array(json.dumps(document))}
        for prefix, group in (("state", checkpoint.variables), ("best", checkpoint.best_weights)):
            arrays |= {f"{prefix}_{number}": array for number, array in enumerate(group)}
        with atomic_write(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    def keep_first(self) -> None:
        """Copies the current checkpoint, a run's first, so that later ones do not replace it."""
        with atomic_write(self._first) as temporary:
            shutil.copyfile(self.path, temporary)

    def discard(self) -> None:
        """Deletes the checkpoint and the first one."""
        self.path.unlink(missing_ok=True)
        self._first.unlink(missing_ok=True)

    def load_first(self) -> Checkpoint | None:
        """Reads the first checkpoint, as `load` does; None if there is none."""
        return Checkpoints(self._first, self.identity).load()

    @property
    def _first(self) -> Path:
        return self.path.with_name(_FIRST_CHECKPOINT)

    def load(self) -> Checkpoint | None:
        """Reads the checkpoint; None if there is none.

        Raises:
            CheckpointError: If it is damaged, or belongs to a run with other settings or rows or of
                another version.
        """
        if not self.path.exists():
            return None
        try:
            with self.path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                document = json.loads(str(file[_JSON]))
                variables, best_weights = (
                    [
                        file[f"{prefix}_{number}"]
                        for number in range(sum(key.startswith(f"{prefix}_") for key in file))
                    ]
                    for prefix in ("state", "best")
                )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            raise CheckpointError(
                f"{self.path}: the checkpoint cannot be read: it is damaged, or not a checkpoint. "
                "Delete it, or train from the start without resuming",
                option="resume",
            ) from None
        try:
            self._check_identity(document["identity"])
            return Checkpoint(_training_state(document["standing"]), variables, best_weights)
        except (KeyError, TypeError):
            raise self.misfit() from None

    def misfit(self) -> CheckpointError:
        """The error that the checkpoint is not one of this network and version."""
        return CheckpointError(
            f"{self.path}: the checkpoint does not fit the network of this run: another version of "
            f"Gatewise wrote it. Delete the folder {self.path.parent}, or train from the start "
            "without resuming",
            option="resume",
        )

    def _check_identity(self, found: Mapping[str, Any]) -> None:
        # Through JSON, as the saved identity was.
        expected = json.loads(json.dumps(self.identity))
        for key in sorted({*expected, *found}):
            if expected.get(key) != found.get(key):
                raise CheckpointError(
                    f"{self.path}: the checkpoint belongs to another run: it has "
                    f"{key}={found.get(key)!r}, this run has {expected.get(key)!r}. Make them the "
                    "same, or train from the start without resuming",
                    option="resume",
                )


def _training_state(fields: dict[str, Any]) -> TrainingState:
    test = fields["rate_test"]
    if test:
        test = {**test, "rates": tuple(test["rates"]), "losses": tuple(test["losses"])}
    return TrainingState(
        **{
            **fields,
            "cost": Cost(**fields["cost"]),
            "epochs": [Epoch(**epoch) for epoch in fields["epochs"]],
            "best": Epoch(**fields["best"]) if fields["best"] else None,
            "rate_test": RateTest(**test) if test else None,
        }
    )
