"""One trial of a search, as it is reported."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gatewise.vocab.errors import GatewiseError

State = Literal["running", "complete", "pruned", "failed", "stopped"]


class SearchError(GatewiseError):
    """A search that cannot be started or resumed, or that found no model."""


@dataclass(frozen=True)
class Trial:
    """One trial of a search.

    Attributes:
        number: Counted from one.
        state: How it ended. `pruned`: stopped early because it was worse than others, or because
            its settings do not fit together; `stopped`: interrupted.
        value: The best value of the metric that it reached; None if it reached none.
        settings: The searched settings, by name.
        epochs: Epochs that it was trained for.
        seconds: Its duration; if it was interrupted and resumed, since it was resumed.
        reason: Why it has no model, or None.
        repeats: An earlier trial with the same settings, whose results it has without being
            trained; None if there is none.
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
        """Whether a network was trained for it."""
        return self.repeats is None and (self.state != "pruned" or self.epochs > 0)

    def as_dict(self) -> dict[str, Any]:
        """The trial as a JSON object."""
        return asdict(self)
