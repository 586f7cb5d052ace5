"""The walk of an export: a model folder in, a mobile artifact out.

Puts the rooms together and owns none of their work. Knows nothing of the command line.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import Precision
from gatewise.service.model.model_folder import Artifact, read_model_folder
from gatewise.training.data.sampling import drawn, fitting
from gatewise.training.mobile import mobile_folder
from gatewise.training.mobile.size_search import Step, within
from gatewise.training.mobile.variants import VariantBuilder
from gatewise.vocab.corpus.corpus_reader import Row
from gatewise.vocab.errors import GatewiseError

MOST_ROWS = 4_000
"""Validation rows that variants are compared on; of more, as many are drawn at random."""

MOST_TOKENS = 400_000
"""Tokens of those rows, as the model reads them; of longer ones, fewer are drawn at random.

A search asks the rows some hundred times: with so many tokens, for some minutes.
"""


@dataclass(frozen=True)
class ExportStep:
    """One variant on the way to the one that was written.

    Attributes:
        what: What was done, in words.
        size: Bytes that an app carries of it.
        accuracy: On the validation rows; None without.
        log_loss: On the same.
    """

    what: str
    size: int
    accuracy: float | None
    log_loss: float | None

    @classmethod
    def of(cls, step: Step) -> "ExportStep":
        """What is told of a step."""
        report = step.variant.report
        return cls(
            step.what,
            step.variant.size,
            report.accuracy if report else None,
            report.log_loss if report else None,
        )


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        precision: How the weights are stored.
        size: Bytes that an app carries: the network, the dictionary and `config.json`; or the file
            that takes texts as they are, where that is wanted and larger.
        limit: How many it was allowed; None for any.
        rows: Validation rows that the steps were measured on.
        tokens: Entries of the dictionary that are left.
        steps: How it came to be.
        text_model: Bytes of the file that takes texts as they are; None without.
        archive: The folder as one file.
    """

    precision: Precision
    size: int
    limit: int | None
    rows: int
    tokens: int
    steps: tuple[ExportStep, ...]
    text_model: int | None
    archive: Path


def export_mobile(
    model: Path,
    out: Path,
    *,
    precision: Precision | None = None,
    max_size: int | None = None,
    with_text: bool = False,
    rows: Callable[[Classifier], Iterable[Row]] | None = None,
    on_step: Callable[[ExportStep], None],
) -> Exported:
    """Makes a model small enough for a device and writes the folder and the zip of it.

    Args:
        model: A model folder with weights in 32-bit floats.
        out: The folder to write.
        precision: How weights are stored; None leaves it open.
        max_size: Most bytes of what an app carries; None for any.
        with_text: Whether to write a model that takes texts as they are, too.
        rows: Gives the validation rows of a model, each with a token in it; None if there are none.
        on_step: Called with each step.

    Raises:
        GatewiseError: If the model cannot be read, made small enough, or written.
    """
    mobile_folder.check_targets(out)
    loaded = read_model_folder(model, "fp32")
    compared = _drawn(rows, loaded) if rows else []
    workshop = VariantBuilder(loaded, compared, with_text)
    steps: list[ExportStep] = []

    def take(step: Step) -> None:
        steps.append(ExportStep.of(step))
        on_step(steps[-1])

    variant = within(workshop, max_size, precision, take)
    exported = Exported(
        precision=variant.precision,
        size=variant.size,
        limit=max_size,
        rows=len(workshop.rows),
        tokens=variant.artifact.config.vocab_size,
        steps=tuple(steps),
        text_model=variant.text_model.ByteSize() if variant.text_model else None,
        archive=mobile_folder.zip_of(out),
    )
    figures = asdict(exported)
    del figures["archive"]
    mobile_folder.write(variant, out, figures)
    return exported


def _drawn(rows: Callable[[Classifier], Iterable[Row]], loaded: Artifact) -> list[Row]:
    """The rows that variants are compared on."""
    classifier = Classifier(loaded)
    kept = drawn(_in_scope(rows(classifier), loaded), MOST_ROWS)
    tokens = [len(encoded.ids) for encoded in classifier.encode([row.text for row in kept])]
    return fitting(kept, tokens, MOST_TOKENS)


def _in_scope(rows: Iterable[Row], loaded: Artifact) -> Iterator[Row]:
    """Those of the rows that figures are of: all but those out of scope."""
    count = 0
    for row in rows:
        if row.labels or loaded.config.multi_label:
            count += 1
            yield row
    if not count:
        raise GatewiseError(
            "expected validation rows that have one of the model's labels, received none but rows "
            "out of scope: accuracy is not about those"
        )
