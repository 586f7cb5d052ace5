"""The settings of the section `training`: the objective, the optimizer, when to stop."""

from pathlib import Path
from typing import Annotated, Literal

from gatewise.training.config.section import Section
from pydantic import Field, model_validator

Optimizer = Literal["adamw", "adam", "sgd", "adagrad"]
Schedule = Literal["cosine", "linear", "constant"]
Metric = Literal["accuracy", "macro_f1", "micro_f1", "loss"]


_EPOCHS, _FEWEST_EPOCHS = 12, 4
_FEW_TOKENS = 400_000
"""Tokens of all training texts up to which they are passed over most often."""


class TrainingConfig(Section):
    """How the network is trained."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] | Literal["auto"] = Field(
        "auto",
        description="Most passes over the rows; by default 12, and fewer, 4 at the least, where "
        "the training texts have more than 400,000 tokens.",
    )
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        64, description="Texts of one update."
    )
    max_updates: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Most updates, whatever `epochs` says; by default there is no bound."
    )
    optimizer: Optimizer = Field("adamw", description="The optimizer; `sgd` has a momentum of 0.9.")
    learning_rate: Annotated[float, Field(gt=0)] | Literal["auto"] = Field(
        3e-3,
        description="Peak learning rate, or `auto` to find it by a range test: the rate rises "
        "from update to update until the loss does, and the weights are then put back.",
    )
    schedule: Schedule = Field(
        "cosine",
        description="How the rate falls after the warm-up: along half a cosine or a straight line, "
        "both to zero, or not at all.",
    )
    warmup: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.1, description="Share of all updates over which the rate rises to its peak."
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        1e-4, description="Weight decay of the optimizer, decoupled from the gradient."
    )
    clip_norm: Annotated[float, Field(gt=0)] | None = Field(
        None, description="The gradient is scaled down to this norm, taken over all weights."
    )
    averaging: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.99,
        description="Momentum of the moving average of the weights that is validated and kept; 0 "
        "keeps the weights themselves. In a run of few updates it is lower, so that the average "
        "spans at most an eighth of them.",
    )
    paths: Literal["apart", "together"] = Field(
        "apart",
        description="Whether the recurrent path and the n-gram path each learn to be right by "
        "themselves, or only in their sum. Apart, neither leaves to the other what it could learn.",
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none",
        description="Whether a row counts in the loss by how rare its label is: `balanced` is "
        "rows / (labels × rows of the label).",
    )
    sampling: Literal["natural", "balanced"] = Field(
        "natural",
        description="Which rows an epoch takes: each once, or as many of every label, the rarer "
        "ones' more than once and of the more frequent ones' a part.",
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Share of each target that is spread evenly over the labels."
    )
    metric: Metric | Literal["auto"] = Field(
        "auto",
        description="Validation metric that the best epoch is chosen by: by default the accuracy, "
        "and the macro-F1 where a text has several labels.",
    )
    patience: Annotated[int, Field(ge=1, le=100_000)] = Field(
        6, description="Epochs without a better validation metric after which training stops."
    )
    calibration: bool = Field(
        True,
        description="Whether the logits are divided by a temperature that is chosen on the "
        "validation rows, so that a probability of 80% is right in 80% of the cases. It is folded "
        "into the weights, and changes no label that is given where a text has one.",
    )
    checkpoint_updates: Annotated[int, Field(ge=1)] = Field(
        500,
        description="Updates between checkpoints, from which `--resume` goes on; there is one at "
        "the end of each epoch too.",
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        1, description="Seed of everything random: the same seed gives the same model."
    )
    deterministic: bool = Field(
        True,
        description="Whether only operations that give the same bits each time are used; some are "
        "slower, on a GPU above all.",
    )
    threads: Annotated[int, Field(ge=0, le=1024)] = Field(
        1,
        description="Threads of each operation on a processor, 0 for as many as there are cores; "
        "operations that do not wait for each other run side by side in any case. More than one "
        "pays from some 256 units on.",
    )
    tensorboard: Path | None = Field(
        None, description="Folder in which logs for TensorBoard are written."
    )
    mlflow: str | None = Field(
        None, description="Address or folder of an MLflow tracking server that the run is told to."
    )

    @model_validator(mode="after")
    def _balanced_once(self) -> "TrainingConfig":
        if self.class_weights == "balanced" and self.sampling == "balanced":
            raise ValueError(
                "training.class_weights=balanced and training.sampling=balanced: expected one of "
                "them, for together they balance twice"
            )
        return self

    def epochs_over(self, tokens: int) -> int:
        """The passes over the rows, once it is known how many tokens the training texts have."""
        if self.epochs != "auto":
            return self.epochs
        passes = round(_EPOCHS * (_FEW_TOKENS / max(tokens, _FEW_TOKENS)) ** 0.5)
        return max(passes, _FEWEST_EPOCHS)
