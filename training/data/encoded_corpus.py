"""The rows of a run as token ids and targets: every text is tokenized once and kept on disk.

Rows without a token are bad rows; what cannot be trained on is refused here.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from gatewise.training.config.config import Config
from gatewise.training.data import examples
from gatewise.training.data.corpora import Rows
from gatewise.training.data.duplicates import Part
from gatewise.training.data.examples import NO_LABEL, Examples, Targets
from gatewise.training.data.stored_rows import StoredRows
from gatewise.training.data.value_scale import ValueScale
from gatewise.vocab.corpus.bad_row_policy import BadRows
from gatewise.vocab.corpus.corpus_reader import Row, at_least_one
from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.corpus.records import BadRow
from gatewise.vocab.errors import CorpusError
from gatewise.vocab.tokenizer.coverage import Coverage, CoverageCounter, measure_coverage
from gatewise.vocab.tokenizer.encoded_rows import EncodedRow, encode_rows
from gatewise.vocab.tokenizer.encoding import Encoded, Encoder, Ids, without_mark
from gatewise.vocab.tokenizer.sequence_encoding import MissingCounter, SequenceEncoder

_WINDOW = 4096

_MAX_REPEATS = 10
"""How often a training row out of scope is repeated in an epoch, at most."""

_OUT_OF_SCOPE_SHARE = 0.1
"""To how many rows out of scope, for each row in scope, the repeats may add up."""


@dataclass(frozen=True, eq=False)
class EncodedSplit:
    """The validation or test rows with their token ids, both on disk and in the same order.

    Attributes:
        rows: The rows, those without a token left out.
        texts: Their ids and targets.
        truncated: Which texts were cut to the maximum length, `(rows,)`.
        in_scope: Which rows have a label or, in a multi-label task, may have none, `(rows,)`.
    """

    rows: StoredRows
    texts: Examples
    truncated: NDArray[np.bool_]
    in_scope: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[EncodedRow]:
        start = 0
        for window in self.rows.windows():
            numbers = np.arange(start, start + len(window))
            encoded = zip(
                window, self.texts.ids(numbers), self.truncated[numbers].tolist(), strict=True
            )
            for row, ids, truncated in encoded:
                yield EncodedRow(row, Encoded(ids, truncated))
            start += len(window)

    @property
    def examples(self) -> Examples:
        """The ids and targets of the rows in scope."""
        return self.texts.only(self.in_scope)

    def only(self, kept: NDArray[np.bool_]) -> "EncodedSplit":
        """Some of the rows.

        Args:
            kept: Which, `(rows,)`.
        """
        return EncodedSplit(
            self.rows.only(kept), self.texts.only(kept), self.truncated[kept], self.in_scope[kept]
        )

    def coverage(self, tokenizer: Tokenizer | None) -> Coverage:
        """Counts how many tokens of the texts the dictionary knows, as far as they are stored.

        Of sequences it counts the numbers that are read, and those that are not missing.
        """
        counter: CoverageCounter | MissingCounter = MissingCounter()
        found, complete = Coverage(0, 0, 0), self.texts
        if tokenizer is not None:
            found = measure_coverage(
                tokenizer, chain.from_iterable(self.rows.only(self.truncated).texts())
            )
            complete = self.texts.only(~self.truncated)
            counter = CoverageCounter(tokenizer)
        for start in range(0, len(complete), _WINDOW):
            each = complete.ids(np.arange(start, min(start + _WINDOW, len(complete))))
            found += counter.count([without_mark(ids) for ids in each])
        return found


@dataclass(frozen=True, eq=False)
class EncodedCorpus:
    """The rows of a run as token ids and targets.

    Attributes:
        rows: The rows, those without a token left out.
        train: Ids and targets of the training rows; rows out of scope are among them, repeated.
        truncated: Which training texts were truncated, `(training rows,)`.
        validation: The validation rows.
        test: The test rows; None if there are none.
        train_sha256: Digest of the training rows.
        validation_sha256: Digest of the validation rows.
    """

    rows: Rows
    train: Examples
    truncated: NDArray[np.bool_]
    validation: EncodedSplit
    test: EncodedSplit | None
    train_sha256: str
    validation_sha256: str


def encode_corpus(
    rows: Rows, tokenizer: Tokenizer | None, config: Config, bad_rows: BadRows, folder: Path
) -> EncodedCorpus:
    """Encodes every part of a corpus.

    Args:
        rows: From `gatewise.training.data.corpora.read`.
        tokenizer: The dictionary; None of sequences of numbers.
        config: The run's settings.
        bad_rows: What happens to a row whose text holds no token.
        folder: Folder in which ids and targets are kept for the run.

    Raises:
        GatewiseError: If the rows cannot be trained on.
    """
    encoder: Encoder | SequenceEncoder
    if tokenizer is None:
        encoder = SequenceEncoder(rows.features, config.tokens.max_length, config.tokens.keep)
    else:
        encoder = config.tokens.encoder(tokenizer)
    out_of_scope = config.reject.out_of_scope
    parts = {
        part: _Part(part, stored, rows, has_out_of_scope=out_of_scope is not None).encode(
            encoder, bad_rows, folder / part
        )
        for part, stored in rows.parts().items()
    }
    train, validation, test = parts["train"], parts["validation"], parts.get("test")
    if out_of_scope is not None and validation.in_scope.all():
        _check_out_of_scope(config, out_of_scope, in_training=not train.in_scope.all())
    return EncodedCorpus(
        rows=replace(
            rows,
            train=train.stored,
            validation=validation.stored,
            test=test.stored if test else None,
        ),
        train=train.texts,
        truncated=train.truncated,
        validation=validation.split(),
        test=test.split() if test else None,
        train_sha256=train.sha256,
        validation_sha256=validation.sha256,
    )


def targets_of(
    rows: Iterable[Row],
    labels: Labels,
    *,
    multi_label: bool,
    soft: bool = False,
    scale: ValueScale | None = None,
) -> Targets:
    """The targets of some rows; see `gatewise.training.data.examples.Targets`.

    Rows with and without soft labels may be mixed only where each target has a share for every
    label: in a multi-label task, and where the training rows are soft. A row out of scope of a
    single-label task has equal shares of all labels as its target (outlier exposure, Hendrycks et
    al., 2019, https://arxiv.org/abs/1812.04606), or `NO_LABEL` where targets are label ids. So has
    a test row whose label is unknown, whose target nothing reads.

    Args:
        rows: The rows.
        labels: The labels, in the order of the network's outputs.
        multi_label: Whether a text may have several.
        soft: Whether each target has a share for every label in any case.
        scale: In a regression, how the numbers are standardized.
    """
    window = list(rows)
    if scale is not None:
        return scale.standardized(window)
    if not (multi_label or soft) and all(row.probabilities is None for row in window):
        ids = [labels.ids.get(row.label, NO_LABEL) if row.labels else NO_LABEL for row in window]
        return np.array(ids, dtype=np.int32)
    shares = np.zeros((len(window), len(labels)), dtype=np.float32)
    for target, row in zip(shares, window, strict=True):
        if not (row.labels or multi_label):
            target[:] = 1 / len(labels)
        elif row.probabilities is None:
            target[[labels.ids[name] for name in row.labels if name in labels.ids]] = 1.0
        else:
            target[:] = row.probabilities
    return shares


def out_of_scope_repeats(rows: StoredRows) -> int:
    """How often each training row out of scope is repeated in an epoch; 0 if there is none.

    Such rows are few in most corpora, and each says little about any one label: they are repeated
    until they are a tenth of the others, ten times at most.

    Args:
        rows: The training rows of a single-label task.
    """
    outside = sum(not row.labels for window in rows.windows() for row in window)
    if not outside:
        return 0
    inside = len(rows) - outside
    return max(1, min(_MAX_REPEATS, int(_OUT_OF_SCOPE_SHARE * inside / outside)))


def _check_out_of_scope(config: Config, name: str, *, in_training: bool) -> None:
    """Refuses a corpus whose validation rows are all in scope, unless a target is set.

    Raises:
        CorpusError: If no threshold can be chosen, or no row has the label.
    """
    if config.reject.target_precision is None:
        raise CorpusError(
            f"reject.out_of_scope={name}: expected validation rows with the label {name!r} to "
            "choose the threshold by, received none: give some, or set reject.target_precision too"
        )
    if not in_training:
        raise CorpusError(
            f"reject.out_of_scope={name}: expected training or validation rows with the label "
            f"{name!r}, received none: correct the name, or leave the setting out"
        )


@dataclass(frozen=True, eq=False)
class _EncodedPart:
    """A part as it was encoded; in training, rows out of scope are repeated among the texts."""

    stored: StoredRows
    texts: Examples
    truncated: NDArray[np.bool_]
    in_scope: NDArray[np.bool_]
    sha256: str

    def split(self) -> EncodedSplit:
        return EncodedSplit(self.stored, self.texts, self.truncated, self.in_scope)


class _Part:
    """One part of the rows while it is encoded, in a stream."""

    def __init__(
        self, part: Part, stored: StoredRows, rows: Rows, *, has_out_of_scope: bool
    ) -> None:
        self._part, self._stored, self._rows = part, stored, rows
        # Validation rows are never repeated: the best epoch is chosen by them.
        is_repeated = has_out_of_scope and part == "train"
        self._repeats = out_of_scope_repeats(stored) if is_repeated else 0
        self._with_tokens = np.ones(len(stored), dtype=np.bool_)
        # An earlier model has learnt its labels already.
        self._learnt = np.isin(rows.labels.names, rows.known_labels)
        self._truncated: list[NDArray[np.bool_]] = []
        self._in_scope: list[NDArray[np.bool_]] = []
        self._weights: list[NDArray[np.float64]] = []
        self._digest = hashlib.sha256()

    def encode(
        self, encoder: Encoder | SequenceEncoder, bad_rows: BadRows, folder: Path
    ) -> _EncodedPart:
        encoded = self._without_empty(encode_rows(encoder.encode, self._stored))
        kept = at_least_one(bad_rows.keep(encoded), f"{self._part} rows")
        texts = examples.store(self._windows(kept), folder)
        weights = np.concatenate(self._weights)
        if (weights != 1).any():
            texts = replace(texts, given_weights=weights)
        in_scope = np.concatenate(self._in_scope)
        if not in_scope.any():
            raise CorpusError(
                f"{self._part} rows: expected rows with one of the labels, received only rows out "
                "of scope"
            )
        if self._part == "train":
            self._check_labels(texts)
        return _EncodedPart(
            self._stored.only(self._with_tokens),
            texts,
            np.concatenate(self._truncated),
            in_scope,
            self._digest.hexdigest(),
        )

    def _without_empty(self, rows: Iterable[EncodedRow | BadRow]) -> Iterator[EncodedRow | BadRow]:
        """Passes rows on and notes which have no token."""
        for number, row in enumerate(rows):
            if isinstance(row, BadRow):
                self._with_tokens[number] = False
            yield row

    def _windows(self, rows: Iterator[EncodedRow]) -> Iterator[tuple[list[Ids], Targets]]:
        labels, multi_label = self._rows.labels, self._rows.multi_label
        while window := list(islice(rows, _WINDOW)):
            for row in window:
                update_digest(self._digest, row.row)
            in_scope = np.array([bool(row.row.labels) or multi_label for row in window])
            self._in_scope.append(in_scope)
            self._truncated.append(np.array([row.encoded.truncated for row in window]))
            repeats = np.where(in_scope, 1, self._repeats or 1)
            chosen = np.repeat(np.arange(len(window)), repeats)
            targets = targets_of(
                (window[place].row for place in chosen),
                labels,
                multi_label=multi_label,
                soft=self._repeats > 0,
                scale=self._rows.scale,
            )
            learnt = targets[in_scope[chosen]]
            if learnt.ndim == 1:
                self._learnt[learnt] = True
            else:
                self._learnt |= learnt.any(axis=0)
            weights = np.array([row.row.weight for row in window])
            self._weights.append(weights[chosen])
            yield [window[place].encoded.ids for place in chosen], targets

    def _check_labels(self, texts: Examples) -> None:
        """Refuses training rows without an example of some label."""
        if self._learnt.all():
            return
        name = self._rows.labels.names[int(np.argmin(self._learnt))]
        if texts.classes:
            raise CorpusError(
                f"training rows: no row has the label {name!r}, or any share of it: leave it "
                "out, or give rows that have it"
            )
        raise CorpusError(
            f"training rows: no text of the label {name!r} holds a token to learn from: fix "
            "its rows or leave them out. With corpus.duplicates=remove they may all be copies"
        )


def update_digest(digest: "hashlib._Hash", row: Row) -> None:
    """Adds a row to a digest of rows in their order, whatever file format they came in.

    The number of labels and probabilities and the length of each string are part of the digest, so
    two different corpora never give the same sequence of bytes.
    """
    shares = () if row.probabilities is None else row.probabilities
    weight = [] if row.weight == 1 else [row.weight]
    parts = [row.text, *row.labels, *map(repr, (*shares, *(row.values or ()), *weight))]
    for count in (len(row.labels), len(shares)):
        digest.update(count.to_bytes(8, "little"))
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
