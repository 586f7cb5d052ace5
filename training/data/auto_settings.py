"""The settings that default to `auto`, resolved once the rows are known.

Tokens are words unless words do not repeat: if many words of the validation texts are in no
training text, as with names, with many languages or with a language of long compound words,
characters classify short texts better. The same holds for scripts without spaces.
"""

from collections import Counter
from itertools import chain

import numpy as np

from gatewise.training.config.config import Config, ConfigError
from gatewise.training.data.corpora import Rows
from gatewise.training.data.stored_rows import StoredRows
from gatewise.vocab.tokenizer.coverage import measure_coverage
from gatewise.vocab.tokenizer.tokenizer import Unit, train_tokenizer

_MAX_UNKNOWN_SHARE = 0.13
"""Share of unknown words in the validation texts above which tokens are characters."""

_MAX_UNKNOWN_WITH_NEIGHBOURS = 0.5
"""The same share where copies of the texts hold words of similar meaning, from a teacher that knows
many more words than the texts have."""

_KNOWN_WORDS = 20_000
"""The most frequent words of the training texts, which count as known."""

_MAX_MEAN_LENGTH = 256
"""Mean characters of short texts: up to it tokens may be characters, and many rows be solved."""

_MIN_WORD_LENGTH = 2.0
"""Mean characters of a word below which the script is one without spaces."""

_LONG_NGRAMS, _MIN_WORDS = (1, 3, 5, 6), 4.0
"""Lengths of n-grams of characters in few texts, from so many words a text in the mean."""

FEW_ROWS = 5_000
"""Rows up to which the network is trained again on all rows, and the linear path always solved."""

_SOLVABLE = {False: (20_000, 200_000), True: (50_000, 300_000)}
"""Training rows, and pairs of a row and a label, up to which the linear path of short texts is
solved, by whether rows have probabilities, which spare the cross-validation: descent is as accurate
with more, and takes less time."""

_DOMINANT = 10
"""Rows of the most frequent label, as a multiple of the mean of the others, from which few rows are
weighted by their label: without weights the others are hardly ever predicted."""

_ENTRIES_PER_PIECE = 10
"""Of so many entries of the dictionary one is a piece of a word, where there are pieces."""

_SEQUENCE_DROPOUT = 0.1
"""The dropout of sequences of numbers, unless another is set."""

_SEQUENCE_UPDATES, _MIN_EPOCHS, _MAX_EPOCHS, _PATIENT_SHARE = 2_000, 12, 200, 4
"""Updates that the epochs of sequences add up to, the bounds of the epochs, and their share without
an improvement after which training stops."""

_SAMPLE = 50_000
"""Texts of each part that are used, evenly spaced."""


def with_unit(config: Config, rows: Rows, *, has_neighbours: bool = False) -> Config:
    """Resolves `tokens.unit`.

    Args:
        config: The run's settings.
        rows: Its rows.
        has_neighbours: Whether words of similar meaning are among the training texts.
    """
    tokens = config.tokens
    if tokens.unit != "auto":
        return config
    unit: Unit = "word"
    train, validation = (_sample(part) for part in (rows.train, rows.validation))
    if train and validation and _are_short(train):
        # Independent of the words that the dictionary of the run leaves out.
        options = {
            **tokens.dictionary_options(),
            "unit": "word",
            "vocab_size": _KNOWN_WORDS,
            "min_frequency": 1,
            "pieces": 0,
        }
        known = measure_coverage(train_tokenizer(train, **options), validation)
        characters = sum(len("".join(text.split())) for text in validation)
        unknown = _MAX_UNKNOWN_WITH_NEIGHBOURS if has_neighbours else _MAX_UNKNOWN_SHARE
        if known.share < 1 - unknown or characters < _MIN_WORD_LENGTH * known.tokens:
            unit = "character"
    return config.changed("tokens", unit=unit)


def with_vectors(config: Config) -> Config:
    """Resolves `network.train_vectors`.

    The vectors of a sentence encoder are kept as they are: it gives similar tokens similar
    vectors, and training on a small corpus makes that worse.

    Args:
        config: The run's settings.
    """
    network = config.network
    if network.vectors is None or network.train_vectors != "auto":
        return config
    return config.changed("network", train_vectors=not network.vectors.is_dir())


def check_linear_path(config: Config, rows: Rows) -> None:
    """Refuses to solve the linear path of rows for which that is impossible.

    Args:
        config: The run's settings.
        rows: Its rows.

    Raises:
        ConfigError: If `training.linear_path` is `solved`, and it cannot be.
    """
    if config.training.linear_path == "solved" and not _may_be_solved(config, rows):
        raise ConfigError(
            "training.linear_path=solved: expected rows with their label or labels, received "
            "rows out of scope, or probabilities of several labels: set "
            "training.linear_path=descended"
        )


def with_linear_path(config: Config, rows: Rows) -> Config:
    """Resolves `training.linear_path`.

    Args:
        config: The run's settings.
        rows: Its rows.

    Raises:
        ConfigError: If the path cannot be solved for these rows.
    """
    check_linear_path(config, rows)
    training = config.training
    if training.linear_path != "auto":
        return config
    is_possible = _may_be_solved(config, rows) and training.paths == "apart"
    is_solved = is_possible and _is_solvable(rows, has_shares=_has_shares(config))
    return config.changed("training", linear_path="solved" if is_solved else "descended")


def with_pieces(config: Config, rows: Rows) -> Config:
    """Resolves `tokens.pieces`.

    Where rows are few, many words of other texts are unknown, and their spelling helps. On a larger
    corpus pieces of words cost more accuracy than they gave.

    Args:
        config: The run's settings, `tokens.unit` resolved.
        rows: Its rows.
    """
    tokens = config.tokens
    if tokens.pieces != "auto":
        return config
    has_pieces = tokens.unit == "word" and _are_few(rows)
    pieces = tokens.vocab_size // _ENTRIES_PER_PIECE if has_pieces else 0
    return config.changed("tokens", pieces=pieces)


def with_ngrams(config: Config, rows: Rows) -> Config:
    """Resolves `network.ngrams` for sentences that are read as characters.

    Where rows are few, many words are unknown, though words are the best evidence: n-grams of five
    or six characters stand for them. Names, and scripts without spaces, need the shorter lengths.

    Args:
        config: The run's settings, `tokens.unit` and `training.linear_path` resolved.
        rows: Its rows.
    """
    is_solved = config.training.linear_path == "solved" and _are_few(rows)
    if config.network.ngrams != "auto" or config.tokens.unit != "character" or not is_solved:
        return config
    words = np.mean([len(text.split()) for text in _sample(rows.train)])
    return config.changed("network", ngrams=_LONG_NGRAMS) if words >= _MIN_WORDS else config


def with_refit(config: Config, rows: Rows) -> Config:
    """Resolves `training.refit`.

    Args:
        config: The run's settings.
        rows: Its rows.

    Raises:
        ConfigError: If the rows held out cannot be added to the others.
    """
    training = config.training
    if training.refit is True and not rows.held_out:
        raise ConfigError(
            "training.refit=true: expected validation rows held out of the training corpus, "
            "received a validation corpus: leave one of the two out"
        )
    if training.refit is True and config.reject.out_of_scope is not None:
        raise ConfigError(
            "training.refit=true: not with reject.out_of_scope, whose threshold needs rows that "
            "the network has not learnt from: leave one of the two out"
        )
    if training.refit != "auto":
        return config
    is_possible = config.reject.out_of_scope is None and not config.teacher.is_wanted
    return config.changed("training", refit=_are_few(rows) and rows.held_out and is_possible)


def with_class_weights(config: Config, rows: Rows) -> Config:
    """Resolves `training.class_weights`.

    Args:
        config: The run's settings.
        rows: Its rows.
    """
    training = config.training
    if training.class_weights != "auto":
        return config
    has_one = not (rows.multi_label or _has_shares(config))
    is_possible = has_one and training.sampling == "natural" and _are_few(rows)
    is_balanced = is_possible and _has_dominant_label(rows)
    return config.changed("training", class_weights="balanced" if is_balanced else "none")


def for_sequences(config: Config, rows: Rows) -> Config:
    """Resolves what differs for sequences of numbers.

    They have no linear path, which learns from a few epochs over texts: their epochs add up to some
    thousand updates, and are too short to stop after a few. A pooled state of which half is set to
    zero predicts no number exactly.

    Args:
        config: The run's settings.
        rows: Its rows.
    """
    config = config.changed("tokens", unit="vector").changed("training", linear_path="descended")
    if "dropout" not in config.network.model_fields_set:
        config = config.changed("network", dropout=_SEQUENCE_DROPOUT)
    training = config.training
    if training.epochs == "auto":
        updates = -(-len(rows.train) // training.batch_size)
        epochs = min(_MAX_EPOCHS, max(_MIN_EPOCHS, -(-_SEQUENCE_UPDATES // updates)))
        config = config.changed("training", epochs=epochs)
        if "patience" not in training.model_fields_set:
            patience = max(training.patience, epochs // _PATIENT_SHARE)
            config = config.changed("training", patience=patience)
    return config


def with_epochs(config: Config, tokens: int) -> Config:
    """Resolves `training.epochs`.

    Args:
        config: The run's settings.
        tokens: Tokens of the training texts.
    """
    return config.changed("training", epochs=config.training.epochs_over(tokens))


def resolved(given: Config, final: Config) -> tuple[str, ...]:
    """The settings that were `auto` and were resolved.

    Args:
        given: The settings that a run was started with.
        final: Its settings once the rows are known.
    """
    before, after = (config.model_dump(mode="json") for config in (given, final))
    return tuple(
        f"{section}.{name}"
        for section, values in before.items()
        for name, value in values.items()
        if value == "auto" and after[section][name] != value
    )


def _has_dominant_label(rows: Rows) -> bool:
    counts = Counter(label for row in rows.train for label in row.labels)
    *others, most = sorted(counts.values())
    return bool(others) and most >= _DOMINANT * sum(others) / len(others)


def _has_shares(config: Config) -> bool:
    # A row out of scope has a share of every label, and so has one that a teacher labelled.
    return (
        config.corpus.probability_prefix is not None
        or config.reject.out_of_scope is not None
        or config.teacher.is_wanted
    )


def _may_be_solved(config: Config, rows: Rows) -> bool:
    # A row out of scope has no label, and its equal shares of all labels are no likely ones.
    has_labels = config.reject.out_of_scope is None
    return has_labels and not (rows.multi_label and _has_shares(config))


def _is_solvable(rows: Rows, *, has_shares: bool) -> bool:
    count, (max_rows, max_pairs) = len(rows.train), _SOLVABLE[has_shares]
    few_enough = count <= max_rows and count * len(rows.labels) <= max_pairs
    return _are_few(rows) or (few_enough and _are_short(_sample(rows.train)))


def _are_short(texts: list[str]) -> bool:
    return bool(np.mean([len(text) for text in texts]) <= _MAX_MEAN_LENGTH)


def _are_few(rows: Rows) -> bool:
    return len(rows.train) + len(rows.validation) <= FEW_ROWS


def _sample(rows: StoredRows) -> list[str]:
    return list(chain.from_iterable(rows.sample(_SAMPLE).texts()))
