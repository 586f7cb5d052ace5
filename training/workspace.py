"""The working folder of a training run, next to its model folder: rows, ids and the checkpoint.

It exists while the run lasts and, with the checkpoint, after an interrupted run.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import lock_descriptor

from gatewise.vocab.errors import GatewiseError

_CHECKPOINTS = ("checkpoint.npz", "first.npz")
_LOCK = "lock"
_DATA = "data"
_PARTS = ("train", "validation", "test")
ALL_ROWS = "all"
"""Name of the part that the rows of the second training are stored under."""

TAUGHT_ROWS = "taught.arrow"
"""Name of the file of the rows as a teacher labelled them."""

UNTAUGHT = "untaught"
"""Name of the folder of the training without a teacher."""

_IN_DATA = {f"{_DATA}/{name}" for part in _PARTS for name in (part, f"{part}.arrow")}
_IN_DATA |= {f"{_DATA}/{name}" for name in (ALL_ROWS, TAUGHT_ROWS, UNTAUGHT)}


@dataclass(frozen=True)
class Workspace:
    """The paths of a run's working folder.

    Attributes:
        path: The folder itself.
    """

    path: Path

    @property
    def data(self) -> Path:
        """Folder of rows and ids, which a resumed run writes again."""
        return self.path / _DATA

    @property
    def checkpoint(self) -> Path:
        """The state of the run."""
        return self.path / _CHECKPOINTS[0]


def teacher_cache_of(out: Path) -> Path:
    """The folder of a teacher's results beside a model folder, which outlives the run."""
    folder = out.resolve()
    return folder.with_name(f"{folder.name}.teacher")


def workspace_of(out: Path) -> Workspace:
    """The workspace of the run that writes a model folder."""
    folder = out.resolve()
    return Workspace(folder.with_name(f"{folder.name}.run"))


@contextmanager
def open_workspace(out: Path, *, keep_checkpoint: bool = False) -> Iterator[Workspace]:
    """Creates the workspace of a run, and deletes it when the run has ended.

    After an error or an interrupt the checkpoint stays, if there is one. The checkpoint of an
    earlier run stays until the new run writes its own.

    Args:
        out: The model folder that the run writes.
        keep_checkpoint: Whether the checkpoint stays after the end, too.

    Raises:
        GatewiseError: If something else is at the workspace's path, or another run uses it.
    """
    space = workspace_of(out)
    try:
        if space.path.exists():
            _check(space)
        space.path.mkdir(parents=True, exist_ok=True)
        with _locked(space):
            _clear(space)
            space.data.mkdir()
            try:
                yield space
            except BaseException:
                _clear(space)
                raise
            _clear(space, *(() if keep_checkpoint else _CHECKPOINTS))
    except OSError as error:
        if not str(error.filename or "").startswith(str(space.path)):
            raise
        raise GatewiseError(
            f"{error.filename}: the working folder of the run cannot be used: "
            f"{error.strerror or error}"
        ) from error
    finally:
        with suppress(OSError):
            space.path.rmdir()  # unless the checkpoint is in it


def _check(space: Workspace) -> None:
    """Refuses a folder that no run has created."""
    if not space.path.is_dir():
        raise GatewiseError(
            f"{space.path}: expected a folder for the run's checkpoint, but it is a file: move it "
            "away, or name another folder",
            option="out",
        )
    # Unfinished files have names of their own with this suffix.
    found = {file for file in space.path.iterdir() if not file.name.endswith(".partial")}
    strangers = {file.name for file in found} - {*_CHECKPOINTS, _DATA, _LOCK}
    if space.data.is_dir():
        strangers |= {f"{_DATA}/{file.name}" for file in space.data.iterdir()} - _IN_DATA
    if strangers:
        raise GatewiseError(
            f"{space.path}: the checkpoint of the run is kept there, but the folder holds "
            f"{min(strangers)!r}: move it away, or name another folder",
            option="out",
        )


@contextmanager
def _locked(space: Workspace) -> Iterator[None]:
    """Keeps a second run out until this one ends, however it ends."""
    lock = space.path / _LOCK
    with lock.open("w") as file:
        if not lock_descriptor(file.fileno(), blocking=False):
            raise GatewiseError(
                f"{space.path}: another run is writing the same model folder: wait for its "
                "end, or name another folder",
                option="out",
            )
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _clear(space: Workspace, *names: str) -> None:
    shutil.rmtree(space.data, ignore_errors=True)
    for partial in space.path.glob("*.partial"):
        partial.unlink(missing_ok=True)
    for name in names:
        (space.path / name).unlink(missing_ok=True)
