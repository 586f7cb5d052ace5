"""Out-of-fold probabilities: what classifiers that were fitted without a row give it.

The classifier is the linear path of the network, solved: seconds where a network takes minutes.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, softmax

from gatewise.training.config.config import Config, ConfigError
from gatewise.training.data import auto_settings
from gatewise.training.data.corpora import Rows
from gatewise.training.evaluation.calibration import negative_log_likelihood
from gatewise.training.preparation import Prepared, prepare
from gatewise.vocab.corpus.bad_row_policy import BadRows

FOLDS = 5

_STRENGTH = {False: 0.3, True: 3.0}
"""C, the inverse of the regularization, by whether a text may have several labels. Small: fitted
more closely, the classifier learns wrong labels too."""

_UNFITTED = -30.0
"""The logit of a label that no fitted row of the fold has."""

_LOG_SCALES = (-3.0, 5.0)
"""Bounds of the logarithm of what the logits are multiplied by."""


def held_out_probabilities(
    rows: Rows, config: Config, bad_rows: BadRows, folder: Path
) -> tuple[NDArray[np.float64], Prepared]:
    """The probability of each label for each training row, from classifiers fitted without it.

    Args:
        rows: The rows of a run; validation rows held out of the training corpus are among those
            that are classified.
        config: The settings of the run.
        bad_rows: What happens to a row whose text holds no token.
        folder: Folder in which ids and targets are kept.

    Returns:
        float64 `(training rows, labels)`, and the training rows as they were encoded.

    Raises:
        GatewiseError: If the rows or the settings cannot be used.
    """
    from gatewise.training.fit import devices
    from gatewise.training.fit.document_frequencies import count_ngrams
    from gatewise.training.fit.linear_path import held_out_logits
    from gatewise.training.network.build import build

    # What the rows decide is decided while the validation rows are apart.
    config = auto_settings.with_unit(config.changed("training", linear_path="solved"), rows)
    prepared = prepare(whole(rows), config, bad_rows, folder)
    if not prepared.blueprint.shape.ngrams:
        raise ConfigError("network.ngrams: expected lengths of n-grams to audit by, received none")
    settings, planned = prepared.config, prepared.blueprint
    texts = prepared.corpus.train.windows(settings.tokens.max_length)
    devices.set_operation_threads(settings.training.threads)
    network = build(settings.network, planned.shape, settings.training.seed)
    count_ngrams(network, texts, planned.word_splits)
    logits = held_out_logits(
        network,
        texts,
        planned.solver_spelling,
        settings.training,
        multi_label=rows.multi_label,
        strength=_STRENGTH[rows.multi_label],
        folds=FOLDS,
    )
    if rows.multi_label:
        return expit(logits), prepared
    targets = prepared.corpus.train.targets(np.arange(len(logits)))
    return _calibrated(logits, targets), prepared


def whole(rows: Rows) -> Rows:
    """The rows with those held out for validation among the training rows again."""
    if not rows.held_out:
        return rows
    train = replace(rows.train, kept=rows.train.kept | rows.validation.kept)
    return replace(rows, train=train)


def _calibrated(logits: NDArray[np.float64], targets: NDArray[np.int32]) -> NDArray[np.float64]:
    """Probabilities from the margins of a support vector machine, scaled to the best likelihood."""
    logits = np.maximum(logits, _UNFITTED)
    scale = minimize_scalar(
        lambda log: negative_log_likelihood(logits * np.exp(log), targets),
        bounds=_LOG_SCALES,
        method="bounded",
    ).x
    return np.asarray(softmax(logits * np.exp(scale), axis=1))
