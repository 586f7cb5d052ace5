"""The folder beside a model's in which a run keeps what it works with: rows, ids, a checkpoint.

It is there only while the run lasts, or after one that was interrupted, whose checkpoint is in it.
Knows paths alone.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vocab.errors import GatewiseError

_CHECKPOINT, _FIRST = "checkpoint.npz", "first.npz"
_DATA = "data"


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
        return self.path / _CHECKPOINT


def beside(out: Path) -> Workspace:
    """The workspace of the run that writes a model folder."""
    place = out.resolve()
    return Workspace(place.with_name(f"{place.name}.run"))


@contextmanager
def working(out: Path, *, resume: bool) -> Iterator[Workspace]:
    """Makes the workspace, and takes it away when the run has ended.

    After an error or an interrupt the checkpoint stays, if there is one.

    Args:
        out: The model folder that the run writes.
        resume: Whether the checkpoint of an earlier run is kept.

    Raises:
        GatewiseError: If there is something else at the workspace's place.
    """
    space = beside(out)
    known = {_CHECKPOINT, _FIRST, _DATA}
    try:
        if space.path.exists():
            # Half-written checkpoints have a name of their own that ends so.
            strangers = {
                found.name for found in space.path.iterdir() if not found.name.endswith(".partial")
            } - known
            if strangers:
                raise GatewiseError(
                    f"{space.path}: a run keeps its checkpoint there, but it holds "
                    f"{min(strangers)!r}: move it away, or name another --out"
                )
            _clear(space, checkpoint=not resume)
        space.data.mkdir(parents=True)
        try:
            yield space
        except BaseException:
            _clear(space, checkpoint=False)
            raise
        _clear(space, checkpoint=True)
    except OSError as error:
        raise GatewiseError(f"{space.path}: {error.strerror or error}") from error


def _clear(space: Workspace, *, checkpoint: bool) -> None:
    shutil.rmtree(space.data, ignore_errors=True)
    for partial in space.path.glob("*.partial"):
        partial.unlink(missing_ok=True)
    if checkpoint:
        space.checkpoint.unlink(missing_ok=True)
        space.checkpoint.with_name(_FIRST).unlink(missing_ok=True)
    if not any(space.path.iterdir()):
        space.path.rmdir()
