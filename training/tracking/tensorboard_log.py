"""The curves of a run in an event file of TensorBoard."""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from gatewise.training.tracking.track import TrackingError


class TensorBoardLog:
    """An event file of TensorBoard in the run's folder.

    A resumed run writes a new file, which begins by withdrawing the same epochs of earlier files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # TensorBoard reads the files of a folder in the order of their names.
            name = f"events.out.tfevents.{time.time_ns():020d}.{socket.gethostname()}.{os.getpid()}"
            self._records = RecordWriter((folder / name).open("xb"))
        except OSError as error:
            raise TrackingError(
                f"training.tensorboard={folder.parent}: cannot be written to: {error.strerror}"
            ) from None
        self._started = False
        self._write(file_version="brain.Event:2")

    def __str__(self) -> str:
        """The folder."""
        return str(self._folder)

    def epoch(self, number: int, metrics: Mapping[str, float]) -> None:
        """Logs the metrics of an epoch."""
        if not self._started:
            self._write(step=number, session_log=SessionLog(status=SessionLog.START))
            self._started = True
        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        self._write(step=number, summary=Summary(value=values))

    def ended(self, metrics: Mapping[str, float]) -> None:
        """Logs nothing: TensorBoard shows curves."""

    def close(self, error: BaseException | None) -> None:  # noqa: ARG002 — the interface has it
        """Closes the file."""
        self._records.close()

    def _write(self, **event: Any) -> None:
        self._records.write(Event(wall_time=time.time(), **event).SerializeToString())
        self._records.flush()
