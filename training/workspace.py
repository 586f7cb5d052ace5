"""The folder beside a model's in which a run keeps what it works with: rows, ids, a checkpoint.

It is there only while the run lasts, or after one that was interrupted, whose checkpoint is in it.
Knows paths alone.
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
_IN_DATA = {f"{_DATA}/{name}" for part in _PARTS for name in (part, f"{part}.arrow")}


@dataclass(frozen=True)
class Workspace:
    """The paths of a run's folder.

    Attributes:
        path: The folder itself.
    """

    path: Path

    @property
    def data(self) -> Path:
        """Folder of rows and ids, which a run that goes on writes again."""
        return self.path / _DATA

    @property
    def checkpoint(self) -> Path:
        """The state of the run."""
        return self.path / _CHECKPOINTS[0]


def beside(out: Path) -> Workspace:
    """The workspace of the run that writes a model folder."""
    place = out.resolve()
    return Workspace(place.with_name(f"{place.name}.run"))


@contextmanager
def working(out: Path) -> Iterator[Workspace]:
    """Makes the workspace, and takes it away when the run has ended.

    After an error or an interrupt the checkpoint stays, if there is one. That of an earlier run
    stays too until the new run writes its own.

    Args:
        out: The model folder that the run writes.

    Raises:
        GatewiseError: If there is something else at the workspace's place, or another run works
            there.
    """
    space = beside(out)
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
            _clear(space, *_CHECKPOINTS)
    except OSError as error:
        if not str(error.filename or "").startswith(str(space.path)):
            raise
        raise GatewiseError(
            f"{error.filename}: a run keeps what it works with there: {error.strerror or error}"
        ) from error
    finally:
        with suppress(OSError):
            space.path.rmdir()  # unless the checkpoint is in it


def _check(space: Workspace) -> None:
    """Refuses a folder that no run has made."""
    if not space.path.is_dir():
        raise GatewiseError(
            f"{space.path}: a run keeps its checkpoint in a folder there, and it is none: move it "
            "away, or name another folder",
            option="out",
        )
    # Half-written files have a name of their own that ends so.
    found = {file for file in space.path.iterdir() if not file.name.endswith(".partial")}
    strangers = {file.name for file in found} - {*_CHECKPOINTS, _DATA, _LOCK}
    if space.data.is_dir():
        strangers |= {f"{_DATA}/{file.name}" for file in space.data.iterdir()} - _IN_DATA
    if strangers:
        raise GatewiseError(
            f"{space.path}: a run keeps its checkpoint there, but it holds {min(strangers)!r}: "
            "move it away, or name another folder",
            option="out",
        )


@contextmanager
def _locked(space: Workspace) -> Iterator[None]:
    """Keeps a second run out, until this one ends, in whatever way."""
    place = space.path / _LOCK
    with place.open("w") as file:
        if not lock_descriptor(file.fileno(), blocking=False):
            raise GatewiseError(
                f"{space.path}: another run is writing the same model folder: wait for its "
                "end, or name another folder",
                option="out",
            )
        try:
            yield
        finally:
            place.unlink(missing_ok=True)


def _clear(space: Workspace, *names: str) -> None:
    shutil.rmtree(space.data, ignore_errors=True)
    for partial in space.path.glob("*.partial"):
        partial.unlink(missing_ok=True)
    for name in names:
        (space.path / name).unlink(missing_ok=True)
