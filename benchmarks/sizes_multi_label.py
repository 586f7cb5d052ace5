"""How good a model of so many bytes is where a text may have several labels.

The counterpart of `sizes`, on a folder of `train`, `valid` and `test` with the column `labels`:
Gatewise's mobile artifact beside fastText's `.ftz`, which learns one label against the rest
(`loss=ova`) and gives each label whose probability reaches a threshold. Settings, thresholds and
what is left out are chosen on the validation rows; the test rows are asked once.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_folder import read_model_folder
from gatewise.training.config import config as configs
from gatewise.training.data.corpora import Corpora
from gatewise.training.evaluation.evaluate import evaluate
from gatewise.training.mobile.mobile_export import export_mobile
from gatewise.training.mobile.size_search import SizeError
from gatewise.training.pipeline import train
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import Row, read_rows
from gatewise.vocab.errors import GatewiseError
from gatewise.vocab.tokenizer.encoded_rows import EncodedRow, encode_rows
from peers import words
from sizes import CUTOFFS, GRID, SEED, SIZES
from sklearn.metrics import f1_score
from sklearn.preprocessing import MultiLabelBinarizer

from gatewise.size import in_bytes

THRESHOLDS = tuple(round(0.02 * step, 2) for step in range(1, 46))
"""What fastText's probabilities may have to reach."""

Figures = tuple[float, float]
"""Micro and macro F1."""


def in_gatewise(corpora: Corpora, sizes: Sequence[int]) -> Iterator[tuple[int, Figures]]:
    """The bytes and the figures of Gatewise's artifacts of some sizes, where there are any."""
    validation, test = corpora.validation, corpora.test
    if validation is None or test is None:
        raise GatewiseError("expected validation and test rows")
    with TemporaryDirectory() as scratch:
        model = Path(scratch) / "model"
        config = configs.load(assignments=[f"training.seed={SEED}"])
        train(corpora, model, config, StopAtBadRows(), lambda _: None)
        yield (model / "onnx" / "model.onnx").stat().st_size, _asked(model, test)
        for size in sizes:
            small = Path(scratch) / "small"
            try:
                exported = export_mobile(
                    model,
                    small,
                    max_size=size,
                    rows=lambda _: read_rows(validation, bad_rows=StopAtBadRows()),
                    on_step=lambda _: None,
                )
            except SizeError as error:
                typer.echo(f"Gatewise, {size:,}: {error}", err=True)
                continue
            yield exported.size, _asked(small, test)


def _asked(folder: Path, test: Path) -> Figures:
    classifier = Classifier(read_model_folder(folder))
    rows = encode_rows(classifier.encode, read_rows(test, bad_rows=StopAtBadRows()))
    report = evaluate(classifier, (row for row in rows if isinstance(row, EncodedRow)))
    return report.micro_f1 or 0.0, report.macro_f1


def in_fasttext(corpora: Corpora, sizes: Sequence[int]) -> Iterator[tuple[int, Figures]]:
    """The bytes and the figures of fastText's quantized models of some sizes."""
    # Imported late: a package that is needed for this row alone.
    import fasttext  # noqa: PLC0415

    parts = [
        list(read_rows(path, bad_rows=StopAtBadRows()))
        for path in (corpora.train, corpora.validation, corpora.test)
        if path is not None
    ]
    names = sorted({label for row in parts[0] for label in row.labels})
    told = MultiLabelBinarizer(classes=names)
    truth = [told.fit_transform([row.labels for row in part]) for part in parts]
    options = {"epoch": 25, "lr": 0.5, "thread": 1}
    with TemporaryDirectory() as scratch:
        rows, whole, small = (Path(scratch) / name for name in ("rows", "model.bin", "model.ftz"))
        rows.write_text("".join(_lines(parts[0], names)), encoding="utf-8")
        models = [
            fasttext.train_supervised(
                str(rows),
                **options,
                **each,
                loss="ova",
                dim=50,
                bucket=200_000,
                seed=SEED,
                verbose=0,
            )
            for each in GRID
        ]
        best = max(models, key=lambda each: _best(_scores(each, parts[1], names), truth[1])[1])
        best.save_model(str(whole))
        for size in sizes:
            for cutoff in CUTOFFS:
                model = fasttext.load_model(str(whole))
                model.quantize(str(rows), cutoff=cutoff, retrain=True, qnorm=True, **options)
                model.save_model(str(small))
                if small.stat().st_size <= size:
                    threshold, _ = _best(_scores(model, parts[1], names), truth[1])
                    given = _scores(model, parts[2], names) >= threshold
                    yield small.stat().st_size, _f1(truth[2], given)
                    break


def _lines(part: Sequence[Row], names: Sequence[str]) -> Iterator[str]:
    for row in part:
        labels = " ".join(f"__label__{names.index(label)}" for label in row.labels)
        yield f"{labels} {' '.join(words(row.text))}\n"


def _scores(model: Any, part: Sequence[Row], names: Sequence[str]) -> Any:
    found, scores = model.predict([" ".join(words(row.text)) for row in part], k=len(names))
    dense = np.zeros((len(part), len(names)), dtype=np.float32)
    for row, (labels, values) in enumerate(zip(found, scores, strict=True)):
        dense[row, [int(label.removeprefix("__label__")) for label in labels]] = values
    return dense


def _best(scores: Any, truth: Any) -> tuple[float, float]:
    """The threshold with the best micro F1, and that."""
    tried = ((threshold, _f1(truth, scores >= threshold)[0]) for threshold in THRESHOLDS)
    return max(tried, key=lambda each: each[1])


def _f1(truth: Any, given: Any) -> Figures:
    micro, macro = (
        float(f1_score(truth, given, average=average, zero_division=0))
        for average in ("micro", "macro")
    )
    return micro, macro


def main(
    folder: Annotated[Path, typer.Argument(help="Folder of train, valid and test.")] = Path(
        "../shared/data/goemotions"
    ),
    sizes: Annotated[str, typer.Option(help="Sizes, with commas between.")] = ",".join(SIZES),
) -> None:
    """Compare models of the same sizes, and print how good they are."""
    corpora = Corpora(*(folder / f"{name}.jsonl" for name in ("train", "valid", "test")))
    limits = [in_bytes(size) for size in sizes.split(",")]
    ways = {"Gatewise": in_gatewise, "fastText, .ftz": in_fasttext}
    typer.echo("| | KB | micro F1 | macro F1 |\n|---|--:|--:|--:|")
    try:
        for title, way in ways.items():
            for size, (micro, macro) in way(corpora, limits):
                figures = f"{size / 1000:,.0f} | {100 * micro:.1f} | {100 * macro:.1f}"
                typer.echo(f"| {title} | {figures} |")
    except (GatewiseError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    typer.run(main)
