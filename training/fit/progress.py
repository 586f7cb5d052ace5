"""What a training run reports: progress and findings while it runs, and the result of fitting.

Imports neither Keras nor TensorFlow: the console and the logs read these classes.
"""

from collections.abc import Callable
from dataclasses import dataclass

FITTING = "fitting"
"""The stage in which the network of the run is trained."""

LABELLING = "teacher: "
"""What the names of a teacher's stages begin with."""

FINE_TUNING = f"{LABELLING}fine-tuning"
"""The stage in which the weights of a teacher are trained."""


@dataclass(frozen=True)
class Epoch:
    """The result of one epoch.

    Attributes:
        number: Counted from one.
        updates: Updates made since the run began.
        loss: Mean cross-entropy over the epoch's training batches, dropout included, in nats,
            neither smoothed nor weighted.
        validation_loss: Mean cross-entropy over the validation rows, in nats.
        metric: The validation metric that the best epoch is chosen by; higher is better, except
            for `loss`.
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
    """A learning-rate range test: the rate rises with each update until the loss rises.

    Attributes:
        rates: The rate of each update, ascending.
        losses: The training loss at each, smoothed, in nats.
        chosen: The peak rate that training then used.
        found: Whether the test found that rate; if no rate lowered the loss, it is the default.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    chosen: float
    found: bool = True


@dataclass(frozen=True)
class Progress:
    """How far a stage of a run has come, for a progress bar.

    Attributes:
        step: Updates made, or texts labelled by a teacher.
        steps: Updates that a run without early stopping makes, or texts in all.
        epoch: The epoch that just ended, if one did.
        metric: Name of the epoch's metric, if one ended.
        stage: What is being done.
    """

    step: int
    steps: int
    epoch: Epoch | None = None
    metric: str | None = None
    stage: str = FITTING

    @property
    def unit(self) -> str:
        """What the steps are."""
        labels = self.stage.startswith(LABELLING) and self.stage != FINE_TUNING
        return "texts" if labels else "updates"


@dataclass(frozen=True)
class Finding:
    """Something that the user should know about the rows, the learning rate or the model.

    Attributes:
        message: The finding in plain words, one line.
        code: What it is, where it is a finding about the corpus.
    """

    message: str
    code: str | None = None


OnProgress = Callable[[Progress | Finding], None]
"""Called during a run; it may raise to end the run."""


@dataclass(frozen=True)
class Fitted:
    """The result of fitting.

    Attributes:
        epochs: Every epoch that was run.
        best: The epoch whose weights were kept.
        metric: Name of the metric that it was chosen by.
        rate_test: The range test, if there was one.
        findings: Findings about the learning rate, in plain words.
        peak_rate: The peak learning rate that training ended with.
        paths: Factors of the logits of the recurrent path and of the n-gram path, in this order,
            before they are added; empty if both were trained on one loss.
        strength: The C, the inverse of the regularization, by which the linear path was solved;
            None if it was not.
    """

    epochs: tuple[Epoch, ...]
    best: Epoch
    metric: str
    rate_test: RateTest | None
    findings: tuple[str, ...]
    peak_rate: float
    paths: tuple[float, ...] = ()
    strength: float | None = None
