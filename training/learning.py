"""A network that is trained, and everything that is chosen after it: `learn`, step by step.

With few rows a second network is trained on all of them, once everything was chosen on those held
out of the first. TensorFlow is imported by the step that builds the network.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gatewise.service.model.classifier import Classifier
from gatewise.training.data import examples
from gatewise.training.data.example_texts import example_texts
from gatewise.training.data.examples import Examples
from gatewise.training.evaluation import conformal_interval, decision_rules
from gatewise.training.evaluation.calibration import Calibration
from gatewise.training.evaluation.cascade_choice import CascadeChoice
from gatewise.training.evaluation.rejection import Rejection
from gatewise.training.fit.progress import Fitted, OnProgress
from gatewise.training.preparation import Prepared
from gatewise.training.workspace import ALL_ROWS, Workspace

if TYPE_CHECKING:
    import keras

    from gatewise.training.fit.loss import Loss
    from gatewise.training.fit.path_solver import Solution
    from gatewise.training.fit.train_step import Trainer
    from gatewise.training.trained_model import TrainedModel

_NOT_IDENTITY = {
    "corpus": {"check"},
    "training": {"keep_examples", "refit", "tensorboard", "mlflow"},
}
"""Settings that may change when a run is resumed."""


_UNSCALED = (
    "The numbers are not standardized, which is most often the reason: set sequence.scale=standard"
)
"""What to try first where sequences of numbers are read as they are."""


@dataclass(frozen=True)
class Decisions:
    """What was chosen on the validation rows; None where the task or the settings need none."""

    calibration: Calibration | None
    rejection: Rejection | None
    cascade: CascadeChoice | None


@dataclass(frozen=True)
class Learnt:
    """A model, as its networks were trained and everything was chosen.

    Attributes:
        fitted: How the network was fitted.
        first_model: The model as it was trained without the validation rows.
        model: The model of the folder: the same, unless it was trained again on all rows.
        decisions: What was chosen on the validation rows.
    """

    fitted: Fitted
    first_model: "TrainedModel"
    model: "TrainedModel"
    decisions: Decisions

    @cached_property
    def served(self) -> Classifier:
        """The classifier of the model."""
        return self.model.classifier()

    @cached_property
    def validated(self) -> Classifier:
        """The classifier that has not learnt from the validation rows."""
        return self.served if self.first_model is self.model else self.first_model.classifier()


def learn(
    prepared: Prepared,
    space: Workspace,
    on_progress: OnProgress,
    report: Callable[[str], None],
    *,
    resume: bool,
) -> Learnt:
    """Trains the network, chooses everything else, and trains again if the settings say so."""
    network = _build(prepared)
    # Those of the second training, too; the states of random generators are among them.
    initial = [v.numpy() for v in network.variables] if prepared.config.training.refit else []
    trainer, fitted = _fit(network, prepared, space, on_progress, resume=resume)
    first_model, decisions = _decide(_export(network, prepared), prepared, report)
    model = first_model
    if prepared.config.training.refit:
        for variable, value in zip(network.variables, initial, strict=True):
            variable.assign(value)
        model = _refit(trainer, first_model, decisions, prepared, fitted, space, on_progress)
    return Learnt(fitted, first_model, model, decisions)


def _fit(
    network: "keras.Model",
    prepared: Prepared,
    space: Workspace,
    on_progress: OnProgress,
    *,
    resume: bool,
) -> tuple["Trainer", Fitted]:
    """Trains the network."""
    from gatewise.training.fit.checkpoint import Checkpoints
    from gatewise.training.fit.fit import fit
    from gatewise.training.fit.path_weights import paths_prior
    from gatewise.training.fit.train_step import Trainer

    corpus, settings = prepared.corpus, prepared.config.training
    max_length = prepared.config.tokens.max_length
    train = corpus.train.windows(max_length)
    solution = _initialize(network, prepared, train)
    trainer = Trainer(network, _loss(prepared, corpus.train), settings)
    fitted = fit(
        trainer,
        settings,
        train,
        corpus.validation.examples.windows(max_length),
        Checkpoints(space.checkpoint, _identity(prepared)),
        on_progress,
        prior=paths_prior(corpus.rows.task, solution.scale if solution else None),
        resume=resume,
        remedy=_UNSCALED if prepared.config.sequence.scale == "none" else None,
    )
    return trainer, replace(fitted, strength=solution.strength if solution else None)


def _refit(
    trainer: "Trainer",
    chosen: "TrainedModel",
    decisions: Decisions,
    prepared: Prepared,
    fitted: Fitted,
    space: Workspace,
    on_progress: OnProgress,
) -> "TrainedModel":
    """Trains the network again, on all rows, with what was chosen on those held out before."""
    from gatewise.training.fit.fit import refit

    corpus = prepared.corpus
    parts = (corpus.train, corpus.validation.texts)
    rows = examples.concatenate(parts, space.data / ALL_ROWS)
    windows = rows.windows(prepared.config.tokens.max_length)
    _initialize(trainer.model, prepared, windows, fitted.strength)
    refit(
        trainer,
        _loss(prepared, rows),
        prepared.config.training,
        windows,
        fitted,
        on_progress,
    )
    model = replace(
        _export(trainer.model, prepared),
        thresholds=chosen.thresholds,
        reject=chosen.reject,
        interval=chosen.interval,
        cascade=chosen.cascade,
        corpus_sha256=_digest_of(corpus.train_sha256, corpus.validation_sha256),
    )
    if decisions.calibration and decisions.calibration.temperature != 1:
        model = model.divided_by(decisions.calibration.temperature)
    return model


def _build(prepared: Prepared) -> "keras.Model":
    """The network with random weights."""
    from gatewise.training.fit import devices
    from gatewise.training.network.build import build

    config, planned = prepared.config, prepared.blueprint
    devices.set_operation_threads(config.training.threads)
    with devices.strategy().scope():
        return build(
            config.network,
            planned.shape,
            config.training.seed,
            planned.vectors,
            planned.char_ngrams,
            planned.scale,
        )


def _initialize(
    network: "keras.Model", prepared: Prepared, rows: Examples, strength: float | None = None
) -> "Solution | None":
    """Sets the weights that follow from the training rows, or those of an earlier model.

    Args:
        network: The network with random weights.
        prepared: The run.
        rows: The training rows.
        strength: The C by which the linear path is solved; None to choose it by cross-validation.

    Returns:
        How the path was solved; None if it is not.
    """
    from gatewise.training.fit.document_frequencies import count_ngrams
    from gatewise.training.fit.output_bias import set_output_bias
    from gatewise.training.fit.path_solver import solve_linear_path

    config, planned = prepared.config, prepared.blueprint
    solution = None
    multi_label = prepared.corpus.rows.multi_label
    if multi_label:
        set_output_bias(network, rows, apart=config.training.paths == "apart")
    count_ngrams(network, rows, planned.word_splits)
    if prepared.earlier and prepared.tokenizer is not None:
        prepared.earlier.set_weights(
            network, config, prepared.tokenizer, prepared.corpus.rows.labels
        )
    if config.training.linear_path == "solved":
        solution = solve_linear_path(
            network,
            rows,
            planned.solver_spelling,
            config.training,
            multi_label=multi_label,
            is_regression=prepared.corpus.rows.scale is not None,
            strength=strength,
        )
    return solution


def _loss(prepared: Prepared, rows: Examples) -> "Loss":
    from gatewise.training.fit.loss import make_loss

    corpus = prepared.corpus.rows
    return make_loss(
        prepared.config.training,
        rows,
        len(corpus.labels),
        multi_label=corpus.multi_label,
        scale=corpus.scale,
    )


def _digest_of(*digests: str) -> str:
    """One digest of several."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _identity(prepared: Prepared) -> dict[str, Any]:
    """What must be the same for a checkpoint to be resumed."""
    settings = prepared.config.model_dump(mode="json", exclude=_NOT_IDENTITY)
    vectors = prepared.blueprint.vectors
    return {
        **{
            f"{section}.{name}": value
            for section, values in settings.items()
            for name, value in values.items()
        },
        "training rows": prepared.corpus.train_sha256,
        "validation rows": prepared.corpus.validation_sha256,
        "pretrained vectors": hashlib.sha256(vectors.matrix.tobytes()).hexdigest()
        if vectors
        else None,
        "earlier model": prepared.earlier.sha256 if prepared.earlier else None,
    }


def _export(network: "keras.Model", prepared: Prepared) -> "TrainedModel":
    """Writes the network as ONNX, in memory."""
    from gatewise.training.network.build import exported_parameters
    from gatewise.training.onnx_export.keras_to_onnx import to_onnx
    from gatewise.training.trained_model import TrainedModel

    rows = prepared.corpus.rows
    model = TrainedModel(
        lowered=to_onnx(network, prepared.config.network),
        tokenizer=prepared.tokenizer,
        labels=rows.labels,
        task=rows.task,
        shape=prepared.blueprint.shape,
        config=prepared.config,
        parameters=exported_parameters(network),
        corpus_sha256=prepared.corpus.train_sha256,
        examples=example_texts(rows) if prepared.config.training.keep_examples else None,
    )
    return model if rows.scale is None else model.in_units_of(rows.scale)


def _decide(
    model: "TrainedModel", prepared: Prepared, report: Callable[[str], None]
) -> tuple["TrainedModel", Decisions]:
    """Chooses temperature, thresholds and cascade, or the interval, on the validation rows."""
    config, validation = prepared.config, prepared.corpus.validation
    calibration = rejection = None
    if model.task == "regression":
        _, interval = conformal_interval.conformal(model.classifier(), validation)
        if interval is None:
            report(
                f"no interval: {len(validation)} validation rows are too few for one with a "
                f"confidence of {conformal_interval.CONFIDENCE:.0%}"
            )
        return replace(model, interval=interval), Decisions(None, None, None)
    multi_label = model.task == "multi_label"
    classified = decision_rules.classify(model.classifier(), validation)
    if config.training.calibration:
        calibration = decision_rules.calibration(classified, multi_label=multi_label)
        if calibration.temperature != 1:
            model = model.divided_by(calibration.temperature)
            classified = classified.divided_by(calibration.temperature)
    if multi_label:
        model = replace(model, thresholds=decision_rules.label_thresholds(classified))
    elif config.reject.is_wanted:
        rejection = decision_rules.rejection(classified, config.reject)
        model = replace(model, reject=rejection.settings())
        if not rejection.reached:
            report(
                f"reject.target_precision={rejection.target_precision}: no threshold reaches it on "
                f"the validation rows; {rejection.chosen.threshold:.4g} comes nearest"
            )
    cascade = None if multi_label else decision_rules.cascade(model.classifier(), classified)
    if cascade:
        model = replace(model, cascade=cascade.settings)
    return model, Decisions(calibration, rejection, cascade)
