"""The section `training`: loss, optimizer, early stopping, calibration, logs."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gatewise.training.config.section import Section

Optimizer = Literal["adamw", "adam", "sgd", "adagrad"]
Schedule = Literal["cosine", "linear", "constant"]
Metric = Literal["accuracy", "macro_f1", "micro_f1", "loss", "rmse"]

MINIMIZED: frozenset[str] = frozenset({"loss", "rmse"})
"""The metrics of which less is better."""


_MAX_EPOCHS, _MIN_EPOCHS = 12, 4
_FEW_TOKENS = 400_000
"""Tokens of all training texts up to which there are `_MAX_EPOCHS`."""


class TrainingConfig(Section):
    """How the network is trained."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] | Literal["auto"] = Field(
        "auto",
        description="Epochs, at most; by default 12, and fewer, down to 4, if the training texts "
        "have more than 400,000 tokens. Of sequences of numbers, as many as make 2,000 updates, "
        "from 12 to 200.",
    )
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        64, description="Texts of a batch."
    )
    max_updates: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Updates, at most, whatever `epochs` is; by default unlimited."
    )
    optimizer: Optimizer = Field("adamw", description="The optimizer; `sgd` has a momentum of 0.9.")
    learning_rate: Annotated[float, Field(gt=0)] | Literal["auto"] = Field(
        3e-3,
        description="Peak learning rate, or `auto` to find it by a range test: the rate rises "
        "with each update until the loss rises; then the weights are reset.",
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
        None,
        description="Maximum norm of the gradient over all weights; a larger one is scaled down.",
    )
    averaging: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.99,
        description="Momentum of the moving average of the weights that is validated and kept; 0 "
        "keeps the weights themselves. In a run of few updates it is lower, so that the average "
        "spans at most an eighth of them.",
    )
    paths: Literal["apart", "together"] = Field(
        "apart",
        description="Whether the recurrent path and the n-gram path have separate losses "
        "(`apart`) or one loss on their sum (`together`).",
    )
    linear_path: Literal["auto", "solved", "descended"] = Field(
        "auto",
        description="How the weights of the n-gram path are found: by a solver, with a "
        "regularization chosen by cross-validation, or by gradient descent. By default by a "
        "solver if there are at most 5,000 rows of any length, validation and a teacher's texts "
        "included, or if texts have up to 256 characters in the mean and there are at most 20,000 "
        "training rows and 200,000 rows × labels, or, with probabilities or a teacher, 50,000 "
        "rows and 300,000 rows × labels; and if no row is out of scope or has probabilities of "
        "several labels, and `paths` is `apart`.",
    )
    refit: bool | Literal["auto"] = Field(
        "auto",
        description="Whether the network is trained a second time, on the held-out validation "
        "rows too, once the epochs, the weights of the paths, the temperature and the thresholds "
        "are chosen by them. By default if at most 5,000 rows are given, without a validation "
        "corpus.",
    )
    class_weights: Literal["none", "balanced", "auto"] = Field(
        "auto",
        description="Weights of the labels in the loss; `balanced` is rows / (labels × rows of "
        "the label). By default balanced if there are at most 5,000 rows with one label each, and "
        "the most frequent label has at least ten times the rows of the others in the mean.",
    )
    sampling: Literal["natural", "balanced"] = Field(
        "natural",
        description="Rows of an epoch: each once, or equally many of every label (rare labels "
        "oversampled, frequent ones undersampled).",
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Share of each target that is distributed evenly over the labels."
    )
    metric: Metric | Literal["auto"] = Field(
        "auto",
        description="Validation metric that the best epoch is chosen by; by default the accuracy, "
        "the macro-F1 if a text may have several labels, and the RMSE in a regression.",
    )
    loss: Literal["squared", "huber"] = Field(
        "squared",
        description="Loss of a regression: the squared error, or Huber's, which grows linearly "
        "beyond one standard deviation and so counts outliers less. A solved n-gram path has the "
        "squared error in any case.",
    )
    patience: Annotated[int, Field(ge=1, le=100_000)] = Field(
        6,
        description="Epochs without a better validation metric after which training stops; of "
        "sequences of numbers by default at least a quarter of `epochs`, if these are `auto`.",
    )
    calibration: bool = Field(
        True,
        description="Whether the logits are divided by a temperature that is chosen on the "
        "validation rows, so that a prediction with a probability of 80% is correct in 80% of the "
        "cases. It is folded into the weights and changes no prediction of a single-label model.",
    )
    checkpoint_updates: Annotated[int, Field(ge=1)] = Field(
        500,
        description="Updates between checkpoints, from which `--resume` continues; there is also "
        "one at the end of each epoch.",
    )
    keep_examples: bool = Field(
        False,
        description="Whether the model folder keeps a training text of each label, the first of at "
        "most 200 characters, for the model card and the page of the service. Whoever has the "
        "folder or may send requests to the service can then read these texts.",
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        1, description="Random seed: the same seed gives the same model."
    )
    deterministic: bool = Field(
        True,
        description="Whether only deterministic operations are used; some are slower, especially "
        "on a GPU.",
    )
    threads: Annotated[int, Field(ge=0, le=1024)] = Field(
        1,
        description="Threads of each operation on a CPU, 0 for all cores; independent operations "
        "run in parallel in any case. More than one is faster from about 256 units on.",
    )
    tensorboard: Path | None = Field(None, description="Folder for TensorBoard logs.")
    mlflow: str | None = Field(
        None, description="Address or folder of the MLflow tracking server that logs the run."
    )

    @model_validator(mode="after")
    def _balanced_once(self) -> "TrainingConfig":
        if self.class_weights == "balanced" and self.sampling == "balanced":
            raise ValueError(
                "training.class_weights=balanced and training.sampling=balanced: expected one of "
                "them, because together they balance twice"
            )
        return self

    @model_validator(mode="after")
    def _solved_apart(self) -> "TrainingConfig":
        if self.linear_path == "solved" and self.paths == "together":
            raise ValueError(
                "training.linear_path=solved: expected training.paths=apart, received together: a "
                "path that is solved has no part in a common loss"
            )
        return self

    def epochs_over(self, tokens: int) -> int:
        """The epochs for training texts with this many tokens in all."""
        if self.epochs != "auto":
            return self.epochs
        epochs = round(_MAX_EPOCHS * (_FEW_TOKENS / max(tokens, _FEW_TOKENS)) ** 0.5)
        return max(epochs, _MIN_EPOCHS)
