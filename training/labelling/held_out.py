"""Out-of-fold probabilities: what classifiers that were fitted without a row give it.

The classifier is the linear path of the network, solved: seconds where a network takes minutes.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from gatewise.training.config.config import Config, ConfigError
from gatewise.training.data import auto_settings
from gatewise.training.data.corpora import Rows
from gatewise.training.preparation import Prepared, prepare
from gatewise.vocab.corpus.bad_row_policy import BadRows

FOLDS = 5

_STRENGTH = {False: 0.3, True: 3.0}
"""C, the inverse of the regularization, by whether a text may have several labels. Small: fitted
more closely, the classifier learns wrong labels too."""


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
    from gatewise.training.fit.path_solver import held_out_log_odds
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
    log_odds = held_out_log_odds(
        network,
        texts,
        planned.solver_spelling,
        settings.training,
        multi_label=rows.multi_label,
        strength=_STRENGTH[rows.multi_label],
        folds=FOLDS,
    )
    return expit(log_odds) if rows.multi_label else softmax(log_odds, axis=1), prepared


def whole(rows: Rows) -> Rows:
    """The rows with those held out for validation among the training rows again."""
    if not rows.held_out:
        return rows
    train = replace(rows.train, kept=rows.train.kept | rows.validation.kept)
    return replace(rows, train=train)
