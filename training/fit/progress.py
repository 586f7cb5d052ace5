"""What fitting tells: while it runs, and at its end. Does not import TensorFlow."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave.

    Attributes:
        number: Counted from one.
        updates: Updates made since the run began.
        loss: Mean cross-entropy over the epoch's training rows as they were learnt from, in nats,
            neither smoothed nor weighted.
        validation_loss: Mean cross-entropy over the validation rows, in nats.
        metric: The validation metric that the best epoch is chosen by; more is better, but for
            `loss`.
        learning_rate: The rate of the epoch's last update.
    """

    number: int
    updates: int
    loss: float
    validation_loss: float
    metric: float
    learning_rate: float


@dataclass(frozen=True)
class RateTest:
    """A learning-rate range test: the rate rises from update to update until the loss does.

    Attributes:
        rates: The rate of each update, ascending.
        losses: The training loss at each, smoothed, in nats.
        chosen: The peak rate that training then used.
        found: Whether that is what the test found; else no rate made the cost fall, and it is the
            default.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    chosen: float
    found: bool = True


@dataclass(frozen=True)
class Progress:
    """Where a run stands, for a progress bar.

    Attributes:
        step: Updates made.
        steps: Updates that a run without early stopping makes.
        epoch: The epoch that just ended, if one did.
        metric: Name of the epoch's metric, if one ended.
        finding: Something about the rows or the learning rate that was just found, in plain words.
    """

    step: int
    steps: int
    epoch: Epoch | None = None
    metric: str | None = None
    finding: str | None = None


@dataclass(frozen=True)
class Fitted:
    """What fitting gave.

    Attributes:
        epochs: Every epoch that was run.
        best: The epoch whose weights were kept.
        metric: Name of the metric that it was chosen by.
        rate_test: The range test, if there was one.
        findings: What was found about the learning rate, in plain words.
        paths: What the logits of the recurrent path and of the n-gram path were multiplied by, in
            this order, before they are added; empty where they learnt together.
    """

    epochs: tuple[Epoch, ...]
    best: Epoch
    metric: str
    rate_test: RateTest | None
    findings: tuple[str, ...]
    paths: tuple[float, ...] = ()
