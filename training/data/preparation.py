"""From rows to what a network is made from and learns from: dictionary, ids, targets, vectors.

Everything that can be refused before the network is built is refused here. Does not import
TensorFlow.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
from gatewise.training.config.config import Config
from gatewise.training.data import auto_settings, examples
from gatewise.training.data.corpora import Rows
from gatewise.training.data.duplicates import Part
from gatewise.training.data.examples import Examples, Targets
from gatewise.training.data.stored_rows import StoredRows
from gatewise.training.network import parameters, vectors
from gatewise.training.network.char_ngrams import CharNgrams, char_ngrams
from gatewise.training.network.shape import Shape
from gatewise.training.network.vectors import Vectors
from gatewise.vocab.corpus.bad_row_policy import BadRows
from gatewise.vocab.corpus.corpus_reader import Row, at_least_one
from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.corpus.records import BadRow
from gatewise.vocab.errors import CorpusError
from gatewise.vocab.tokenizer.encoded_rows import EncodedRow, encode_rows
from gatewise.vocab.tokenizer.encoding import Encoder
from gatewise.vocab.tokenizer.tokenizer import train_tokenizer
from tokenizers import Tokenizer

_WINDOW = 4096

_MOST_COPIES = 10
"""How often a training row out of scope is shown in an epoch, at most."""

_SHARE = 0.1
"""To how many rows out of scope, for each in scope, such copies may add up."""


@dataclass(frozen=True)
class Prepared:
    """Everything that training needs, ready on disk and in memory.

    Attributes:
        config: The run's settings, those that were left to the rows filled in.
        rows: The rows, those without a token left out.
        tokenizer: The dictionary.
        train: Ids and targets of the training rows; rows out of scope are among them, each
            several times.
        validation: The same of the validation rows that are in scope.
        shape: The sizes that follow from the corpus.
        vectors: Pretrained vectors; None without.
        spelling: How tokens are spelled; None where that counts nothing.
        corpus_sha256: Digest of the training rows.
        validation_sha256: Digest of the validation rows.
    """

    config: Config
    rows: Rows
    tokenizer: Tokenizer
    train: Examples
    validation: Examples
    shape: Shape
    vectors: Vectors | None
    spelling: CharNgrams | None
    corpus_sha256: str
    validation_sha256: str


def prepare(rows: Rows, config: Config, bad_rows: BadRows, folder: Path) -> Prepared:
    """Builds the dictionary of the training rows and encodes every part with it.

    Args:
        rows: From `gatewise.training.data.corpora.read`.
        config: The run's settings.
        bad_rows: What happens to a row whose text holds no token.
        folder: Folder in which ids and targets are kept for the run.

    Raises:
        GatewiseError: If nothing can be learnt from the rows, or the vectors cannot be used.
    """
    config = auto_settings.with_vectors(auto_settings.with_unit(config, rows))
    texts = chain.from_iterable(rows.train.texts())
    tokenizer = train_tokenizer(texts, **config.tokens.dictionary_options())
    encoder = Encoder(tokenizer, config.tokens.max_length, config.tokens.keep)
    network = config.network
    width = network.width_of_ngrams(len(rows.labels))
    shape = Shape(
        vocab_size=tokenizer.get_vocab_size(),
        classes=len(rows.labels),
        ngrams=network.ngram_lengths(config.tokens.unit),
        buckets=network.ngram_buckets(0, width),
        ngram_width=width,
    )
    parameters.check_size(network, config.tokens, shape)
    lengths = network.spelling_lengths(config.tokens.unit)
    spelt = char_ngrams(tokenizer, lengths) if lengths else None
    found = None
    if config.network.vectors:
        found = vectors.load(
            config.network.vectors,
            tokenizer,
            config.network.embedding_size,
            config.training.seed,
            chain.from_iterable(rows.train.texts()),
        )
    parts = {
        part: _Split(
            part, stored, rows, bad_rows, looks_outside=config.reject.out_of_scope is not None
        ).encoded(encoder, folder / part)
        for part, stored in rows.parts().items()
    }
    train, validation = parts["train"], parts["validation"]
    buckets = network.ngram_buckets(train.examples.tokens, width)
    shape = replace(shape, buckets=buckets)
    parameters.check_size(network, config.tokens, shape)
    _check_outside(config, train, validation)
    return Prepared(
        config=auto_settings.with_epochs(config, train.examples.tokens),
        rows=replace(
            rows,
            train=train.stored,
            validation=validation.stored,
            test=parts["test"].stored if "test" in parts else None,
        ),
        tokenizer=tokenizer,
        train=train.examples,
        validation=validation.examples,
        shape=shape,
        vectors=found,
        spelling=spelt,
        corpus_sha256=train.sha256,
        validation_sha256=validation.sha256,
    )


def targets_of(
    rows: Iterable[Row], labels: Labels, *, multi_label: bool, soft: bool = False
) -> Targets:
    """What a network is to say of some rows; see `gatewise.training.data.examples.Targets`.

    Rows with and without soft labels may stand side by side only where each target has a share
    for every label, which is so in a multi-label task and where the training rows are soft. A row
    out of scope of a single-label task has all labels alike for its target (outlier exposure,
    Hendrycks et al., 2019, https://arxiv.org/abs/1812.04606).

    Args:
        rows: The rows.
        labels: The labels, in the order of the network's outputs.
        multi_label: Whether a text may have several.
        soft: Whether each target has a share for every label in any case; rows out of scope, of
            which no id tells, have to be among such.
    """
    window = list(rows)
    if not (multi_label or soft) and all(row.probabilities is None for row in window):
        return np.array([labels.ids[row.label] for row in window], dtype=np.int32)
    shares = np.zeros((len(window), len(labels)), dtype=np.float32)
    for target, row in zip(shares, window, strict=True):
        if not (row.labels or multi_label):
            target[:] = 1 / len(labels)
        elif row.probabilities is None:
            target[[labels.ids[name] for name in row.labels]] = 1.0
        else:
            target[:] = row.probabilities
    return shares


def copies(rows: StoredRows) -> int:
    """How often each training row out of scope is learnt from in an epoch; 0 if there is none.

    Such rows are few in most corpora, and each says little to any one label: they are repeated
    until they are a tenth of the others, ten times at most.

    Args:
        rows: The training rows of a single-label task.
    """
    outside = sum(not row.labels for window in rows.windows() for row in window)
    if not outside:
        return 0
    return max(1, min(_MOST_COPIES, int(_SHARE * (len(rows) - outside) / outside)))


@dataclass(frozen=True)
class _Encoded:
    stored: StoredRows
    examples: Examples
    sha256: str
    outside: int


def _check_outside(config: Config, train: _Encoded, validation: _Encoded) -> None:
    """Checks that rows out of scope are there where they are needed.

    Raises:
        CorpusError: If they are not.
    """
    name = config.reject.out_of_scope
    if name is None or validation.outside:
        return
    if config.reject.target_precision is None:
        raise CorpusError(
            f"reject.out_of_scope={name}: expected validation rows with the label {name!r} to "
            "choose the threshold by, received none: give some, or set reject.target_precision too"
        )
    if not train.outside:
        raise CorpusError(
            f"reject.out_of_scope={name}: expected training or validation rows with the label "
            f"{name!r}, received none: mend the name, or leave the setting out"
        )


class _Split:
    """One part of the rows on its way through the encoder."""

    def __init__(
        self,
        part: Part,
        stored: StoredRows,
        rows: Rows,
        bad_rows: BadRows,
        *,
        looks_outside: bool,
    ) -> None:
        self._part, self._stored, self._rows, self._bad_rows = part, stored, rows, bad_rows
        # Copies of each row out of scope that are learnt from; none is where an epoch is chosen.
        self._copies = copies(stored) if looks_outside and part == "train" else 0
        self._with_tokens = np.ones(len(stored), dtype=np.bool_)
        self._learnt = np.zeros(len(rows.labels), dtype=np.bool_)
        self._digest = hashlib.sha256()
        self._outside = 0

    def encoded(self, encoder: Encoder, folder: Path) -> _Encoded:
        noted = self._noting(encode_rows(encoder.encode, self._stored))
        kept = at_least_one(self._bad_rows.keep(noted), f"{self._part} rows")
        written = examples.store(self._windows(kept), folder)
        if not len(written):
            raise CorpusError(
                f"{self._part} rows: expected rows with one of the labels, received only rows out "
                "of scope"
            )
        if self._part == "train" and not self._learnt.all():
            name = self._rows.labels.names[int(np.argmin(self._learnt))]
            if written.classes:
                raise CorpusError(
                    f"training rows: no row has the label {name!r}, or any share of it: leave it "
                    "out, or give rows that have it"
                )
            raise CorpusError(
                f"training rows: no text of the label {name!r} holds a token to learn from: mend "
                "its rows or leave them out. With corpus.duplicates=remove they may all be copies"
            )
        stored = self._stored.only(self._with_tokens)
        return _Encoded(stored, written, self._digest.hexdigest(), self._outside)

    def _noting(self, rows: Iterable[EncodedRow | BadRow]) -> Iterator[EncodedRow | BadRow]:
        for number, row in enumerate(rows):
            if isinstance(row, BadRow):
                self._with_tokens[number] = False
            yield row

    def _windows(self, rows: Iterator[EncodedRow]) -> Iterator[tuple[list[examples.Ids], Targets]]:
        labels, multi_label = self._rows.labels, self._rows.multi_label
        while window := list(islice(rows, _WINDOW)):
            for row in window:
                update_digest(self._digest, row.row)
            outside = np.array([not (row.row.labels or multi_label) for row in window])
            self._outside += int(np.count_nonzero(outside))
            chosen = np.repeat(np.arange(len(window)), np.where(outside, self._copies, 1))
            targets = targets_of(
                (window[place].row for place in chosen),
                labels,
                multi_label=multi_label,
                soft=self._copies > 0,
            )
            if targets.ndim == 1:
                self._learnt[targets] = True
            else:
                self._learnt |= targets[~outside[chosen]].any(axis=0)
            yield [window[place].encoded.ids for place in chosen], targets


def update_digest(digest: "hashlib._Hash", row: Row) -> None:
    """Adds a row to a digest of rows in their order, whatever file format they came in.

    Text, labels and probabilities enter with their number or length before them, so that no two
    different corpora are the same sequence of bytes.
    """
    shares = () if row.probabilities is None else row.probabilities
    parts = [row.text, *row.labels, *map(repr, shares)]
    for count in (len(row.labels), len(shares)):
        digest.update(count.to_bytes(8, "little"))
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
