"""Settings that are left to the rows: what `auto` comes to, once the rows are known.

Words are tokens unless the rows say that words do not repeat: where many words of the validation
texts are in no training text, as in names, in many languages at once or in a language that builds
long words, the characters of a short text tell more. In a script without spaces words are not
known in any case, and characters that stand side by side are.

Knows neither networks nor TensorFlow.
"""

import numpy as np
from gatewise.training.config.config import Config
from gatewise.training.data.corpora import Rows
from gatewise.training.data.stored_rows import StoredRows
from gatewise.vocab.tokenizer.tokenizer import Unit, measure_coverage, train_tokenizer

_UNKNOWN = 0.13
"""Share of the validation texts' words that are not known from the training texts, from which on
characters are the tokens."""

_WORDS = 20_000
"""Words, the most frequent ones of the training texts, that count as known."""

_SHORT = 256
"""Characters of a text, in the mean, up to which they may be the tokens."""

_OF_A_WORD = 2.0
"""Characters of a token, in the mean, below which the script is one without spaces."""

_SAMPLE = 50_000
"""Texts of a part that are looked at, evenly among them."""


def with_unit(config: Config, rows: Rows) -> Config:
    """The settings with the unit of tokens that suits the rows, if that was left to them.

    Args:
        config: The run's settings.
        rows: Its rows.
    """
    tokens = config.tokens
    if tokens.unit != "auto":
        return config
    unit: Unit = "word"
    train, validation = (_sample(part) for part in (rows.train, rows.validation))
    if train and validation and np.mean([len(text) for text in train]) <= _SHORT:
        # Whatever the dictionary itself will leave out.
        options = {
            **tokens.dictionary_options(),
            "unit": "word",
            "vocab_size": _WORDS,
            "min_frequency": 1,
        }
        known = measure_coverage(train_tokenizer(train, **options), validation)
        characters = sum(len("".join(text.split())) for text in validation)
        if known.share < 1 - _UNKNOWN or characters < _OF_A_WORD * known.tokens:
            unit = "character"
    return config.model_copy(update={"tokens": tokens.model_copy(update={"unit": unit})})


def with_vectors(config: Config) -> Config:
    """The settings with whether pretrained vectors are trained on, if that was left open.

    An encoder gives every entry a vector, those of like meaning like ones, and a small corpus
    only blurs that.

    Args:
        config: The run's settings.
    """
    network = config.network
    if network.vectors is None or network.train_vectors != "auto":
        return config
    trained = not network.vectors.is_dir()
    return config.model_copy(
        update={"network": network.model_copy(update={"train_vectors": trained})}
    )


def with_epochs(config: Config, tokens: int) -> Config:
    """The settings with a number of epochs that suits the rows, if that was left to them.

    Args:
        config: The run's settings.
        tokens: Tokens of the training texts.
    """
    epochs = config.training.epochs_over(tokens)
    training = config.training.model_copy(update={"epochs": epochs})
    return config.model_copy(update={"training": training})


def _sample(rows: StoredRows) -> list[str]:
    step = -(-len(rows) // _SAMPLE) or 1
    chosen = np.arange(len(rows)) % step == 0
    return [text for texts in rows.only(chosen).texts() for text in texts]
