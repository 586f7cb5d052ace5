"""The export of a model folder to a mobile artifact, from reading to writing."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import Precision
from gatewise.service.model.model_folder import Artifact, read_model_folder
from gatewise.training.data.sampling import reservoir, sample_of_size
from gatewise.training.evaluation.regression import RegressionReport
from gatewise.training.mobile import mobile_folder
from gatewise.training.mobile.size_search import within
from gatewise.training.mobile.tokenizer_tables import TokenizerTablesError, read_tables
from gatewise.training.mobile.variants import Variant, VariantBuilder
from gatewise.vocab.corpus.corpus_reader import Row
from gatewise.vocab.errors import GatewiseError

MAX_ROWS = 4_000
"""Validation rows that variants are compared on, at most; a random sample of more."""

MAX_TOKENS = 400_000
"""Tokens of those rows together, at most; of longer rows, a smaller random sample is taken.

A search evaluates about a hundred variants on the rows: at this size, it takes some minutes.
"""


@dataclass(frozen=True)
class ExportStep:
    """What one step of an export did, for people, and the size and the metrics after it.

    The metrics are those of the validation rows, None without rows.
    """

    what: str
    size: int
    accuracy: float | None
    log_loss: float | None
    rmse: float | None = None  # of a model that predicts numbers, which has no other metric


@dataclass(frozen=True)
class Exported:
    """The result of an export.

    An app carries the `text_model`, which takes texts, or the `parts`: the network, the tokenizer
    and `config.json`; `size` is the larger of the two, all in bytes. `without_text` says why there
    is no text model where one was wanted, `without_interval` why there is no interval where the
    original model has one. `rows` is the number of validation rows that the steps
    were measured on, `tokens` the size of the vocabulary, 0 of a model of sequences.
    """

    precision: Precision
    size: int
    limit: int | None
    rows: int
    tokens: int
    steps: tuple[ExportStep, ...]
    text_model: int | None
    parts: int
    without_text: str | None
    without_interval: str | None
    archive: Path

    def as_dict(self) -> dict[str, Any]:
        """The result as a JSON object."""
        document = {**asdict(self), "archive": str(self.archive)}
        for step in document["steps"]:
            if step["rmse"] is None:
                del step["rmse"]
        return document


def export_mobile(
    model: Path,
    out: Path,
    *,
    precision: Precision | None = None,
    max_size: int | None = None,
    with_text: bool | None = None,
    rows: Callable[[Classifier], Iterable[Row]] | None = None,
    on_step: Callable[[ExportStep], None],
) -> Exported:
    """Makes a model small enough for a device, and writes it as a folder and a zip.

    Args:
        model: A model folder with weights in 32-bit floats.
        out: The folder to write.
        precision: How weights are stored; None to choose.
        max_size: Bytes that an app carries, at most; None for any number.
        with_text: Whether to write a model that takes texts, too; None if the tokenizer allows it.
            A model of sequences of numbers has none.
        rows: Returns the validation rows for a classifier, each with at least one token.
        on_step: Called after each step.

    Raises:
        GatewiseError: If the model cannot be read, made small enough, or written.
    """
    mobile_folder.check_targets(out)
    loaded = read_model_folder(model, "fp32")
    has_tokenizer = loaded.dictionary is not None
    if with_text:
        loaded.require_texts()
    if (windows := loaded.config.gatewise.tokens.windows) > 1:
        raise GatewiseError(
            f"{model}: expected a model that reads one window of a text, received one that reads "
            f"{windows}, which a device's runtime does not pool: train with tokens.windows=1"
        )
    without_text = None
    if with_text is None and has_tokenizer:
        try:
            read_tables(loaded.tokenizer, loaded.config.gatewise.tokens.unit)
        except TokenizerTablesError as error:
            without_text = str(error)
    sampled = _sample(rows, loaded) if rows else []
    takes_texts = has_tokenizer and with_text is not False and not without_text
    builder = VariantBuilder(loaded, sampled, takes_texts)
    steps: list[ExportStep] = []

    def take(what: str, variant: Variant) -> None:
        report = variant.report
        accuracy = log_loss = rmse = None
        if isinstance(report, RegressionReport):
            rmse = report.rmse
        elif report:
            accuracy, log_loss = report.accuracy, report.log_loss
        steps.append(ExportStep(what, variant.size, accuracy, log_loss, rmse))
        on_step(steps[-1])

    variant = within(builder, max_size, precision, take)
    exported = Exported(
        precision=variant.precision,
        size=variant.size,
        limit=max_size,
        rows=len(builder.rows),
        tokens=variant.artifact.config.vocab_size,
        steps=tuple(steps),
        text_model=variant.text_model.ByteSize() if variant.text_model else None,
        parts=variant.parts_size,
        without_text=without_text,
        without_interval=_why_without_interval(loaded, variant),
        archive=mobile_folder.zip_of(out),
    )
    export = exported.as_dict()
    del export["archive"]
    mobile_folder.write(variant, out, export)
    return exported


def _why_without_interval(loaded: Artifact, variant: Variant) -> str | None:
    if not loaded.config.gatewise.interval or variant.artifact.config.gatewise.interval:
        return None
    of_rows = "too few validation rows" if variant.report else "no validation rows"
    return f"that of the original model is not its own, and there were {of_rows} to measure one on"


def _sample(rows: Callable[[Classifier], Iterable[Row]], loaded: Artifact) -> list[Row]:
    """The rows that variants are compared on."""
    classifier = Classifier(loaded)
    kept = reservoir(_in_scope(rows(classifier), loaded), MAX_ROWS)
    tokens = [len(encoded.ids) for encoded in classifier.encode([row.text for row in kept])]
    return sample_of_size(kept, tokens, MAX_TOKENS)


def _in_scope(rows: Iterable[Row], loaded: Artifact) -> Iterator[Row]:
    """All rows but those out of scope, which metrics do not count."""
    count = 0
    for row in rows:
        if row.labels or loaded.config.multi_label:
            count += 1
            yield row
    if not count:
        raise GatewiseError(
            "expected validation rows with one of the model's labels, received only rows out of "
            "scope, which the accuracy does not count"
        )
