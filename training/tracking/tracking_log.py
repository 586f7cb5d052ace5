"""The interface of TensorBoard and MLflow logs."""

from collections.abc import Mapping
from typing import Protocol

from gatewise.vocab.errors import GatewiseError


class TrackingError(GatewiseError):
    """A run cannot be logged there."""


class Log(Protocol):
    """A log of one run."""

    def epoch(self, number: int, metrics: Mapping[str, float]) -> None:
        """Logs the metrics of an epoch."""

    def ended(self, metrics: Mapping[str, float]) -> None:
        """Logs the metrics of a finished run."""

    def close(self, error: BaseException | None) -> None:
        """Closes the log, with the error that ended the run, if any."""


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its class."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
