"""The findings of a check of a corpus before a model is trained on it.

Each finding has a stable code, its numbers, an example row, and the setting or command that helps.
`check_rows` needs the rows alone; `check_texts` also needs them as tokens. A severe finding stops
training unless `corpus.check` allows it. `gatewise.training.pipeline` calls them.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from tokenizers import Tokenizer

from gatewise.training.config.config import Config
from gatewise.training.data.corpora import Rows
from gatewise.training.data.corpus_findings import CorpusFinding, ExampleRow, Severity
from gatewise.training.data.encoded_corpus import EncodedCorpus
from gatewise.training.data.label_checks import alike, combined, listed
from gatewise.training.data.row_survey import RowSurvey, TextKind
from gatewise.training.evaluation.share_interval import wilson
from gatewise.vocab.corpus.bad_row_policy import CountBadRows
from gatewise.vocab.corpus.corpus_reader import Row
from gatewise.vocab.tokenizer.encoding import Encoder

FEW_ROWS = 5
"""Rows of a label below which it is rarely learnt."""

_FEW_LABELS = 10
"""Labels up to which too few rows for each are a matter of rows, not of the label column."""

_SKEW = 10
"""How many times the rows of the rarest label the most frequent one may have."""

_FEW_VALIDATION_ROWS = 200
"""Validation rows below which an accuracy is known to no better than 5 points either way."""

_MANY_TRUNCATED = 0.05
"""Share of truncated training texts above which it matters."""

_MANY_UNKNOWN = 0.1
"""Share of unknown tokens in the validation texts above which it matters."""

_SOME_WORDLESS, _ALL_WORDLESS = 0.05, 0.9
"""Shares of texts without words from which the text column is in doubt, and is wrong."""

_SOME_CONTRADICTIONS, _MANY_CONTRADICTIONS = 0.01, 0.2
"""Shares of rows with contradicting labels from which they matter, and harm any model."""

_LOCATED = 256
"""Truncated texts by which it is estimated how much of them is not read."""

_NAMED = 5
"""Labels or groups of labels named in a message."""

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")

_MAX_SHOWN = 60
"""Characters of a label or a text in a message."""


def check_rows(rows: Rows, found: RowSurvey, config: Config) -> list[CorpusFinding]:
    """The findings about the rows of a run before they are tokenized.

    Args:
        rows: The rows.
        found: Their survey.
        config: The settings of the run.
    """
    # Every row has all numbers of a regression: what is said of the first is true of the others.
    labels = rows.labels.names[: None if rows.scale is None else 1]
    counts = {label: found.training_rows()[label] for label in labels}
    total = found.in_scope["train"]
    if rows.held_out:
        counts = {label: counts[label] + found.labels["validation"][label] for label in labels}
        total += found.in_scope["validation"]
    duplicates = rows.duplicates and rows.duplicates.summary()
    findings = [CorpusFinding("duplicates", "note", duplicates, {})] if duplicates else []
    if config.corpus.check == "ignore":
        return findings
    return [
        *findings,
        *_contradictions(rows),
        *_unknown_labels(rows),
        *_same_labels(labels, counts, found),
        *_listed_labels(labels, found),
        *_many_labels(labels, counts, total, found),
        *_few_rows(counts, found),
        *_without_validation(labels, found),
        *_few_validation_rows(found, is_regression=rows.scale is not None),
        *_numeric_labels(rows),
        *_wordless("number", found, config),
        *_wordless("id", found, config),
    ]


def check_texts(
    corpus: EncodedCorpus, tokenizer: Tokenizer | None, found: RowSurvey, config: Config
) -> list[CorpusFinding]:
    """The findings about tokenized rows, and about what the settings make of them.

    Args:
        corpus: The rows as tokens.
        tokenizer: The dictionary; None of sequences of numbers.
        found: The survey of the rows.
        config: The settings of the run, those left to the rows filled in.
    """
    if config.corpus.check == "ignore":
        return []
    if tokenizer is None:
        return [
            *_skew(found, config),
            *_truncated_sequences(corpus, config),
            *_missing_numbers(corpus),
        ]
    return [
        *_skew(found, config),
        *_truncated(corpus, tokenizer, config),
        *_unknown(corpus, tokenizer, config),
    ]


def check_bad_rows(bad_rows: CountBadRows) -> list[CorpusFinding]:
    """The finding about rows that cannot be used.

    Args:
        bad_rows: Those rows, counted.
    """
    if not bad_rows.first:
        return []
    first = bad_rows.first
    return [
        CorpusFinding(
            "bad-rows",
            "error",
            f"{_rows(bad_rows.count)} cannot be used, the first because {first.reason}",
            {"rows": bad_rows.count},
            "Fix these rows, or write them to a rejects file when training",
            ExampleRow(first.location.file, first.location.line, _shown(first.content)),
        )
    ]


def never_predicted(
    predictions: Mapping[str, int], reviewed: Mapping[str, int], part: str, config: Config
) -> list[CorpusFinding]:
    """The finding about labels that a model predicts for no row, although some rows have them.

    Args:
        predictions: For how many rows each label was predicted.
        reviewed: How many rows have it.
        part: The part that the rows belong to.
        config: The settings of the run.
    """
    never = [label for label, rows in reviewed.items() if rows and not predictions[label]]
    if not never:
        return []
    named = [f"{_shown(label)} ({_rows(reviewed[label])})" for label in never]
    advice = "Give it more rows"
    if config.training.class_weights != "balanced" and config.training.sampling == "natural":
        advice += ", or set training.class_weights=balanced"
    return [
        CorpusFinding(
            "never-predicted",
            "warning",
            f"{_of(len(never), len(reviewed), 'labels')} {_is(never)} predicted for no {part} row: "
            f"{_some(named)}",
            {"labels": len(never), "rows": sum(reviewed[label] for label in never)},
            advice,
        )
    ]


def _contradictions(rows: Rows) -> Iterator[CorpusFinding]:
    duplicates = rows.duplicates
    if duplicates is None or not duplicates.conflicting:
        return
    count, total = duplicates.conflicting, sum(duplicates.rows.values())
    share = count / total
    is_regression = rows.task == "regression"
    severity: Severity = "note"
    if share >= _SOME_CONTRADICTIONS:
        # Two people may give a text two numbers, and the mean of them is learnt.
        is_severe = share >= _MANY_CONTRADICTIONS and not is_regression
        severity = "error" if is_severe else "warning"
    shown = "; ".join(
        f"{_shown(one.text)} has {_labels(one)} at {one.location} and {_labels(two)} at "
        f"{two.location}"
        for one, two in (copy.rows for copy in rows.copies if copy.kind == "conflict")
    )
    yield CorpusFinding(
        "contradicting-labels",
        severity,
        f"{_rows(count)} of {total:,} ({share:.1%}) have the text of a row with another "
        f"{'number' if is_regression else 'label'}{': ' if shown else ''}{shown}",
        {"rows": count, "share": round(share, 4)},
        "Give a text one number in all rows"
        if is_regression
        else "Give a text one label in all rows, or several with corpus.task=multi_label",
    )


def _labels(row: Row) -> str:
    if row.values is not None:
        return ", ".join(row.targets)
    return " | ".join(map(_shown, row.labels)) or "none"


def _unknown_labels(rows: Rows) -> Iterator[CorpusFinding]:
    for found in rows.unknown:
        named = [f"{_shown(label)} ({_rows(count)})" for label, count in found.labels.items()]
        what = "they are left out" if found.part == "validation" else "they count as errors"
        yield CorpusFinding(
            "unknown-labels",
            "warning",
            f"{_rows(found.rows)} of {found.part} with labels that no training row has: "
            f"{_some(named)}; {what}",
            {"rows": found.rows, "labels": len(found.labels)},
            "Give training rows of these labels, or correct them",
            _row(found.first, " | ".join(found.first.labels)),
        )


def _same_labels(
    labels: Sequence[str], counts: Mapping[str, int], found: RowSurvey
) -> Iterator[CorpusFinding]:
    groups = alike(labels)
    if not groups:
        return
    named = [
        " and ".join(f"{shown} ({_rows(counts[label])})" for label, shown in _distinguished(group))
        for group in groups
    ]
    rarest = min(groups[0], key=lambda label: counts[label])
    yield CorpusFinding(
        "same-labels",
        "error",
        f"labels that look the same are different labels: {_some(named, '; ')}",
        {"groups": len(groups), "labels": sum(map(len, groups))},
        "Write each label in one way: case, spaces, invisible characters and Unicode forms count",
        _row(found.first.get(rarest), rarest),
    )


def _listed_labels(labels: Sequence[str], found: RowSurvey) -> Iterator[CorpusFinding]:
    known = frozenset(labels)
    lists = {label: parts for label in labels if (parts := listed(label, known)) is not None}
    severity: Severity = "error"
    if not lists:
        lists, severity = combined(labels), "warning"
    if not lists:
        return
    verb = _is(list(lists)) if severity == "error" else "may be"
    apart = {part for parts in lists.values() for part in parts}
    first = min(lists, key=lambda label: (label not in found.first, -len(lists[label])))
    yield CorpusFinding(
        "listed-labels",
        severity,
        f"{_of(len(lists), len(labels), 'labels')} {verb} a list of labels written as text, such "
        f"as {_shown(first)}",
        {"labels": len(lists), "labels_in_lists": len(apart)},
        "For several labels a text, set corpus.task=multi_label and separate them by | in CSV, or "
        "write a list in JSON Lines or Parquet",
        _row(found.first.get(first), first),
    )


def _many_labels(
    labels: Sequence[str], counts: Mapping[str, int], total: int, found: RowSurvey
) -> Iterator[CorpusFinding]:
    if 3 * len(labels) <= total:
        return
    rarest = min(labels, key=lambda label: counts[label])
    single = sum(counts[label] == 1 for label in labels)
    is_severe = len(labels) > _FEW_LABELS and 2 * single > len(labels)
    yield CorpusFinding(
        "many-labels",
        "error" if is_severe else "warning",
        f"{len(labels):,} labels for {total:,} rows: fewer than three rows a label",
        {"labels": len(labels), "rows": total, "single": single},
        "Name the column of the labels with corpus.label_column, or give more rows"
        if is_severe
        else "Give more rows",
        _row(found.first.get(rarest), rarest),
    )


def _few_rows(counts: Mapping[str, int], found: RowSurvey) -> Iterator[CorpusFinding]:
    few = sorted((label for label in counts if counts[label] < FEW_ROWS), key=counts.__getitem__)
    if not few:
        return
    named = [f"{_shown(label)} ({_rows(counts[label])})" for label in few]
    yield CorpusFinding(
        "few-rows",
        "warning",
        f"{_of(len(few), len(counts), 'labels')} {_has(few)} fewer than {FEW_ROWS} rows: "
        f"{_some(named)}",
        {"labels": len(few), "fewest": counts[few[0]]},
        "Give more rows of them, or merge them into other labels",
        _row(found.first.get(few[0]), few[0]),
    )


def _without_validation(labels: Sequence[str], found: RowSurvey) -> Iterator[CorpusFinding]:
    absent = [label for label in labels if not found.labels["validation"][label]]
    if not absent:
        return
    named = [f"{_shown(label)}" for label in absent]
    yield CorpusFinding(
        "no-validation-rows",
        "warning",
        f"{_of(len(absent), len(labels), 'labels')} {_has(absent)} no validation row, so nothing "
        f"is known of how well {'it is' if len(absent) == 1 else 'they are'} predicted: "
        f"{_some(named)}",
        {"labels": len(absent)},
        "Give validation rows of every label",
        _row(found.first.get(absent[0]), absent[0]),
    )


def _numeric_labels(rows: Rows) -> Iterator[CorpusFinding]:
    """Labels that are numbers, which may be meant as such."""
    labels = rows.labels.names
    if rows.task != "single_label" or len(labels) <= _FEW_LABELS:
        return
    if all(_NUMBER.fullmatch(label) for label in labels):
        yield CorpusFinding(
            "numeric-labels",
            "note",
            f"the {len(labels)} labels are numbers, each of them a label of its own, without order",
            {"labels": len(labels)},
            "If they are amounts, set corpus.task=regression to predict a number",
        )


def _few_validation_rows(found: RowSurvey, *, is_regression: bool) -> Iterator[CorpusFinding]:
    rows = found.in_scope["validation"]
    if rows >= _FEW_VALIDATION_ROWS:
        return
    if is_regression:
        # Twice the standard error of the standard deviation of normal errors.
        share = 2 / (2 * rows) ** 0.5
        numbers, doubt = {"share": share}, f"the RMSE on them may be {share:.0%} off"
    else:
        low, high = wilson(0.8, rows)
        numbers = {"low": low, "high": high}
        doubt = f"an accuracy of 80% on them may be {low:.0%} to {high:.0%} in truth"
    yield CorpusFinding(
        "few-validation-rows",
        "warning",
        f"{_rows(rows)} to validate with: {doubt}",
        {"rows": rows, **{name: round(value, 4) for name, value in numbers.items()}},
        "Give more rows, a validation corpus, or a larger corpus.validation_share",
    )


def _wordless(kind: TextKind, found: RowSurvey, config: Config) -> Iterator[CorpusFinding]:
    count, total = found.kinds[kind], sum(found.rows.values())
    if count < _SOME_WORDLESS * total:
        return
    row = found.first_of_kind[kind]
    column = config.corpus.text_column
    yield CorpusFinding(
        f"{kind}-texts",
        "error" if count >= _ALL_WORDLESS * total else "warning",
        f"{count / total:.0%} of the texts are {kind}s without words",
        {"rows": count, "share": round(count / total, 4)},
        f"Is the column {column!r} the right one? corpus.text_column names another",
        _row(row, row.text),
    )


def _skew(found: RowSurvey, config: Config) -> Iterator[CorpusFinding]:
    counts = {label: rows for label, rows in found.training_rows().items() if rows}
    if not counts:
        return
    most, fewest = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    if counts[most] < _SKEW * counts[fewest]:
        return
    training = config.training
    is_balanced = training.class_weights == "balanced" or training.sampling != "natural"
    setting = (
        f"training.sampling={training.sampling}"
        if training.sampling != "natural"
        else f"training.class_weights={training.class_weights}"
    )
    what = "balances them" if is_balanced else "leaves them as they are"
    yield CorpusFinding(
        "skew",
        "note" if is_balanced else "warning",
        f"{_shown(most)} has {_rows(counts[most])}, {_shown(fewest)} {_rows(counts[fewest])}; "
        f"{setting} {what}",
        {
            "most": counts[most],
            "fewest": counts[fewest],
            "majority_share": round(counts[most] / max(found.in_scope["train"], 1), 4),
        },
        ""
        if is_balanced
        else "With training.class_weights=balanced rare labels are predicted more often, and "
        "training.metric=macro_f1 counts every label the same",
        _row(found.first.get(fewest), fewest),
    )


def _truncated(
    corpus: EncodedCorpus, tokenizer: Tokenizer, config: Config
) -> Iterator[CorpusFinding]:
    truncated = np.flatnonzero(corpus.truncated)
    if not len(truncated):
        return
    tokens, total = config.tokens, len(corpus.truncated)
    sample = truncated[:: -(-len(truncated) // _LOCATED)]
    rows = corpus.rows.train.at(sample.tolist())
    encoder = tokens.encoder(tokenizer)
    read = sum(_characters_read(row.text, encoder) for row in rows)
    unread = 1 - read / int(corpus.rows.train.characters[sample].sum())
    yield CorpusFinding(
        "truncated",
        "warning" if len(truncated) >= _MANY_TRUNCATED * total else "note",
        f"{len(truncated):,} of {total:,} training texts ({len(truncated) / total:.1%}) are longer "
        f"than {'' if tokens.windows == 1 else f'tokens.windows={tokens.windows} of '}"
        f"tokens.max_length={tokens.max_length}; "
        f"{'over 99%' if unread > 0.99 else f'{unread:.0%}'} of their characters are not read",
        {
            "texts": len(truncated),
            "share": round(len(truncated) / total, 4),
            "unread": round(unread, 4),
        },
        "Raise tokens.max_length, read several windows of a text with tokens.windows, or choose "
        "with tokens.keep which part is read",
        _row(rows[0], rows[0].text),
    )


def _truncated_sequences(corpus: EncodedCorpus, config: Config) -> Iterator[CorpusFinding]:
    truncated, total = np.flatnonzero(corpus.truncated), len(corpus.truncated)
    if not len(truncated):
        return
    (row,) = corpus.rows.train.at(truncated[:1].tolist())
    yield CorpusFinding(
        "truncated",
        "warning" if len(truncated) >= _MANY_TRUNCATED * total else "note",
        f"{len(truncated):,} of {total:,} training sequences ({len(truncated) / total:.1%}) are "
        f"longer than tokens.max_length={config.tokens.max_length}",
        {"texts": len(truncated), "share": round(len(truncated) / total, 4)},
        "Raise tokens.max_length, or choose with tokens.keep which steps are read",
        _row(row, row.text),
    )


def _missing_numbers(corpus: EncodedCorpus) -> Iterator[CorpusFinding]:
    coverage = corpus.validation.coverage(None)
    if 1 - coverage.share < _MANY_UNKNOWN:
        return
    yield CorpusFinding(
        "missing-numbers",
        "warning",
        f"{1 - coverage.share:.0%} of the {coverage.tokens:,} numbers of the validation sequences "
        "are missing; each counts as the mean of its feature",
        {"numbers": coverage.tokens, "missing": coverage.unknown},
        "Fill them in, or leave out the features that have few numbers",
    )


def _characters_read(text: str, encoder: Encoder) -> int:
    """How many characters the tokens that are kept of a truncated text stand for."""
    (located,) = encoder.locate([text])
    first, last = located.spans[: located.boundary], located.spans[located.boundary :]
    return (first[-1].end if first else 0) + (len(text) - last[0].start if last else 0)


def _unknown(
    corpus: EncodedCorpus, tokenizer: Tokenizer, config: Config
) -> Iterator[CorpusFinding]:
    coverage = corpus.validation.coverage(tokenizer)
    share = 1 - coverage.share
    if share < _MANY_UNKNOWN:
        return
    in_pieces = ""
    if coverage.in_pieces:
        in_pieces = (
            f"; {coverage.in_pieces / coverage.tokens:.0%} are words that are read as pieces"
        )
    advice = "Give more rows, or set tokens.unit=subword or tokens.unit=character"
    yield CorpusFinding(
        "unknown-words",
        "warning",
        f"{share:.0%} of the {coverage.tokens:,} tokens of the validation texts are in no training "
        f"text, or not in the dictionary{in_pieces}",
        {
            "tokens": coverage.tokens,
            "unknown": coverage.unknown,
            "in_pieces": coverage.in_pieces,
        },
        "Give more rows" if config.tokens.unit in ("subword", "character") else advice,
    )


def _row(row: Row | None, shown: str) -> ExampleRow | None:
    if row is None:
        return None
    return ExampleRow(row.location.file, row.location.line, _shown(shown))


def _shown(text: str) -> str:
    return repr(text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…")


def _distinguished(labels: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Labels that look the same, each with a form that does not."""
    composed = {unicodedata.normalize("NFC", label) for label in labels}
    for label in labels:
        yield label, _shown(label) if len(composed) == len(labels) else ascii(label)


def _some(named: Sequence[str], separator: str = ", ") -> str:
    more = f" and {len(named) - _NAMED:,} more" if len(named) > _NAMED else ""
    return separator.join(named[:_NAMED]) + more


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _of(part: int, whole: int, noun: str) -> str:
    return f"{part:,} of {whole:,} {noun}"


def _is(items: Sequence[object]) -> str:
    return "is" if len(items) == 1 else "are"


def _has(items: Sequence[object]) -> str:
    return "has" if len(items) == 1 else "have"
