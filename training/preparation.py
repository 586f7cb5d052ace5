"""What a network is built from and trained on: the dictionary, its plan, and the encoded rows.

A network that cannot be built is refused before the rows are encoded.
"""

from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tokenizers import Tokenizer

from gatewise.training.config.config import Config
from gatewise.training.data import auto_settings
from gatewise.training.data.corpora import Rows
from gatewise.training.data.encoded_corpus import EncodedCorpus, encode_corpus
from gatewise.training.earlier_model import EarlierModel
from gatewise.training.network.blueprint import Blueprint, blueprint, sequence_blueprint
from gatewise.vocab.corpus.bad_row_policy import BadRows
from gatewise.vocab.tokenizer.tokenizer import train_tokenizer


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything that a network is built from and trained on.

    Attributes:
        config: The run's settings, those left to the rows filled in.
        tokenizer: The dictionary; None of sequences of numbers.
        blueprint: What the network is built from.
        corpus: The rows as ids and targets.
        earlier: The model that the run starts from; None for a fresh network.
    """

    config: Config
    tokenizer: Tokenizer | None
    blueprint: Blueprint
    corpus: EncodedCorpus
    earlier: EarlierModel | None = None


def prepare(
    rows: Rows,
    config: Config,
    bad_rows: BadRows,
    folder: Path,
    earlier: EarlierModel | None = None,
) -> Prepared:
    """Builds the dictionary, plans the network and encodes the rows.

    Args:
        rows: From `gatewise.training.data.corpora.read`.
        config: The run's settings.
        bad_rows: What happens to a row whose text holds no token.
        folder: Folder in which ids and targets are kept for the run.
        earlier: The model that the run starts from, whose settings these are.

    Raises:
        GatewiseError: If the rows, the vectors or the settings cannot be used.
    """
    config = auto_settings.with_refit(config, rows)
    config = auto_settings.with_class_weights(config, rows)
    if rows.features:
        return _prepared_sequences(rows, config, bad_rows, folder)
    config = auto_settings.with_linear_path(config, rows)
    config = auto_settings.with_vectors(auto_settings.with_unit(config, rows))
    config = auto_settings.with_ngrams(auto_settings.with_pieces(config, rows), rows)
    texts = rows.train.texts
    if earlier:
        config = earlier.with_ngram_width(config, len(rows.labels))
        tokenizer = earlier.tokenizer(chain.from_iterable(texts()), config)
    else:
        options = config.tokens.dictionary_options()
        tokenizer = train_tokenizer(chain.from_iterable(texts()), **options)
    # A network that cannot be built is refused before the rows are encoded.
    planned = blueprint(config, tokenizer, len(rows.labels), chain.from_iterable(texts()))
    corpus = encode_corpus(rows, tokenizer, config, bad_rows, folder)
    return Prepared(
        config=auto_settings.with_epochs(config, corpus.train.tokens),
        tokenizer=tokenizer,
        blueprint=planned.with_buckets(config, corpus.train.tokens),
        corpus=corpus,
        earlier=earlier,
    )


def _prepared_sequences(rows: Rows, config: Config, bad_rows: BadRows, folder: Path) -> Prepared:
    """The same of sequences of numbers, which have no dictionary and no linear path."""
    config = auto_settings.for_sequences(config, rows)
    sequences = chain.from_iterable(rows.train.texts())
    planned = sequence_blueprint(config, rows.features, len(rows.labels), sequences)
    corpus = encode_corpus(rows, None, config, bad_rows, folder)
    return Prepared(config, None, planned, corpus)
