"""One trial of a search, as it is told of. Knows neither Optuna nor TensorFlow."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gatewise.vocab.errors import GatewiseError

State = Literal["running", "complete", "pruned", "failed", "stopped"]


class SearchError(GatewiseError):
    """A search that cannot be begun or gone on with, or that found nothing."""


@dataclass(frozen=True)
class Trial:
    """One trial of a search.

    Attributes:
        number: Counted from one.
        state: How it ended: `pruned` is one that was given up for being worse than others or
            because its settings make no sense together, `stopped` one that was interrupted.
        value: The best value of the metric that it reached; None if it reached none.
        settings: The searched settings, by name.
        epochs: Epochs that it was trained for.
        seconds: How long it took; of one that was interrupted and taken up again, the last part.
        reason: Why it has no model, or None.
        repeats: The trial before it that had the same settings, whose figures it was given
            without being trained; None if there was none.
    """

    number: int
    state: State
    value: float | None
    settings: Mapping[str, Any]
    epochs: int = 0
    seconds: float = 0.0
    reason: str | None = None
    repeats: int | None = None

    @property
    def was_trained(self) -> bool:
        """Whether it cost the time of a training run."""
        return self.repeats is None and (self.state != "pruned" or self.epochs > 0)

    def as_dict(self) -> dict[str, Any]:
        """The trial as a JSON object."""
        return asdict(self)
