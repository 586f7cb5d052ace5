"""What every place that a run is told to has in common. Knows none of them."""

from collections.abc import Mapping
from typing import Protocol

from gatewise.vocab.errors import GatewiseError


class TrackingError(GatewiseError):
    """A place that a run cannot be told to."""


class Log(Protocol):
    """One place that a run is told to."""

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        """Takes the figures of an epoch."""

    def ended(self, figures: Mapping[str, float]) -> None:
        """Takes the figures of a run that came to its end."""

    def close(self, error: BaseException | None) -> None:
        """Ends the log, with the error that ended the run, if one did."""


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
