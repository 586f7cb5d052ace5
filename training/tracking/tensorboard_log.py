"""A run's curves in a file that TensorBoard reads. Knows figures by their names alone."""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gatewise.training.tracking.tracking_log import TrackingError
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


class TensorBoardLog:
    """A file of events that TensorBoard reads.

    A run that goes on writes a file of its own, which begins by taking back what an earlier one
    told of the same epochs.

    Args:
        folder: The run's folder.
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
        self._begun = False
        self._write(file_version="brain.Event:2")

    def __str__(self) -> str:
        """Its place."""
        return str(self._folder)

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        """Takes the figures of an epoch."""
        if not self._begun:
            self._write(step=number, session_log=SessionLog(status=SessionLog.START))
            self._begun = True
        values = [Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
        self._write(step=number, summary=Summary(value=values))

    def ended(self, figures: Mapping[str, float]) -> None:
        """Takes nothing: curves are what is looked at there."""

    def close(self, error: BaseException | None) -> None:  # noqa: ARG002 — as every log
        """Ends the file."""
        self._records.close()

    def _write(self, **event: Any) -> None:
        self._records.write(Event(wall_time=time.time(), **event).SerializeToString())
        self._records.flush()
