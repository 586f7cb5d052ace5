"""How accurate a model of so many bytes is: Gatewise's mobile artifact beside fastText's `.ftz`.

Both are asked for models of the same sizes and choose on the validation rows alone; the test rows
are asked once, at the end. What counts of Gatewise is the network in ONNX,
the dictionary and `config.json`; of fastText the whole `.ftz`, which holds its dictionary too.
Figures are kept in a file as soon as they are known.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from figures import Figures, Key, digest
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_folder import read_model_folder
from gatewise.training.evaluation.evaluate import evaluate
from gatewise.training.mobile.mobile_export import export_mobile
from gatewise.training.mobile.size_search import SizeError
from gatewise.training.pipeline import train
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import read_rows
from gatewise.vocab.errors import GatewiseError
from gatewise.vocab.tokenizer.encoded_rows import EncodedRow, encode_rows
from ours import Gatewise
from peers import Outcome, Settings, fasttext_accuracy, fasttext_lines
from splits import LARGE, SETS, Split, read, written

from gatewise.size import in_bytes

SIZES = ("100KB", "250KB", "1MB")
SEED = 1

GRID = tuple(
    {"wordNgrams": words, "minn": shortest, "maxn": longest}
    for words in (1, 2, 3)
    for shortest, longest in ((0, 0), (2, 5))
)
"""Settings of fastText that are tried: word n-grams, and the lengths of the runs of characters."""

CUTOFFS = (60_000, 40_000, 26_000, 18_000, 12_000, 8_000, 5_500, 3_600, 2_400, 1_600, 1_000, 600)
"""Features that fastText's quantization keeps; the most that fit into a size are taken."""


@dataclass
class Artifacts:
    """Gatewise's mobile artifacts; the model of a set is trained once, for all sizes."""

    assignments: Sequence[str] = ()
    title: str = "Gatewise"
    _scratch: TemporaryDirectory[str] = field(default_factory=TemporaryDirectory)

    def settings(self, name: str, size: int) -> Settings:
        """What its figures depend on."""
        return {"size": size, **Gatewise("", self.assignments).settings(name)}

    def measure(self, split: Split, size: int) -> Outcome:
        """Trains a model, makes it small, and takes the figures of what was written.

        Raises:
            SizeError: If no artifact is as small as this.
        """
        start = time.process_time()
        model, out = (Path(self._scratch.name) / split.name / name for name in ("model", "small"))
        with written(split) as corpora:
            if not model.exists():
                config = Gatewise("", self.assignments).config(split.name, SEED)
                train(corpora, model, config, StopAtBadRows(), lambda _: None)
            if corpora.validation is None or corpora.test is None:
                raise GatewiseError("expected validation and test rows")
            validation, test = corpora.validation, corpora.test
            exported = export_mobile(
                model,
                out,
                max_size=size,
                rows=lambda _: read_rows(validation, bad_rows=StopAtBadRows()),
                on_step=lambda _: None,
            )
            took = time.process_time() - start
            classifier = Classifier(read_model_folder(out))
            rows = encode_rows(classifier.encode, read_rows(test, bad_rows=StopAtBadRows()))
            report = evaluate(classifier, (row for row in rows if isinstance(row, EncodedRow)))
        validated = exported.steps[-1].accuracy or 0.0
        return Outcome(report.accuracy, validated, took, f"{exported.size} bytes")


@dataclass
class Ftz:
    """FastText's quantized models: the best of some settings, cut to as many features as fit.

    Settings are chosen by the validation texts. What stays is learnt again.
    """

    title: str = "fastText, .ftz"
    _models: dict[str, Any] = field(default_factory=dict)

    def settings(self, _: str, size: int) -> Settings:
        """What its figures depend on."""
        return {"size": size, "grid": GRID, "cutoffs": CUTOFFS}

    def measure(self, split: Split, size: int) -> Outcome:
        """Trains the grid once for a set, and quantizes the best to a size.

        Raises:
            SizeError: If not even the fewest features fit.
        """
        # Imported late: a package that is needed for this row alone.
        import fasttext  # noqa: PLC0415

        names = sorted(set(split.train.labels))
        ids = {name: f"__label__{number}" for number, name in enumerate(names)}
        options = {"epoch": 25, "lr": 0.5, "thread": 1}
        start = time.process_time()
        with TemporaryDirectory() as scratch:
            rows = fasttext_lines(Path(scratch) / "train.txt", split.train, ids)
            whole = Path(scratch) / "model.bin"
            if split.name not in self._models:
                models = [
                    fasttext.train_supervised(
                        str(rows), **options, **each, dim=50, bucket=200_000, seed=SEED, verbose=0
                    )
                    for each in GRID
                ]
                best = max(models, key=lambda each: fasttext_accuracy(each, split.validation, ids))
                best.save_model(str(whole))
                self._models[split.name] = whole.read_bytes()
            whole.write_bytes(self._models[split.name])
            for cutoff in CUTOFFS:
                model = fasttext.load_model(str(whole))
                model.quantize(str(rows), cutoff=cutoff, retrain=True, qnorm=True, **options)
                file = Path(scratch) / "model.ftz"
                model.save_model(str(file))
                if file.stat().st_size <= size:
                    return Outcome(
                        fasttext_accuracy(model, split.test, ids),
                        fasttext_accuracy(model, split.validation, ids),
                        time.process_time() - start,
                        f"{file.stat().st_size} bytes",
                    )
        raise SizeError(f"no .ftz of {CUTOFFS[-1]} features or more has {size:,} bytes")


def table(
    sets: Sequence[str], sizes: Sequence[int], ways: Sequence[Artifacts | Ftz], figures: Figures
) -> str:
    """Test accuracy in percent and size in KB, a row for each set, in Markdown."""
    columns = [(size, way) for size in sizes for way in ways]
    head = [f"{way.title}, {size // 1000:,} KB" for size, way in columns]
    lines = [f"| set | {' | '.join(head)} |", f"|---|{'--:|' * len(head)}"]
    for name in sets:
        cells = []
        for size, way in columns:
            found = figures.get(key(way, name, size))
            if found is None:
                cells.append("–")
            else:
                kilobytes = int(found.chosen.split()[0]) / 1000
                cells.append(f"{100 * found.accuracy:.1f} ({kilobytes:,.0f})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def key(way: Artifacts | Ftz, name: str, size: int) -> Key:
    """Under which a figure is kept."""
    return Key(way.title, name, SEED, digest(way.settings(name, size)))


def main(
    data: Annotated[Path, typer.Argument(help="Folder with a folder for each set.")] = Path(
        "../shared/data"
    ),
    results: Annotated[Path, typer.Option(help="File in which figures are kept.")] = Path(
        "runs/sizes.jsonl"
    ),
    only: Annotated[str | None, typer.Option(help="Sets, with commas between.")] = None,
    sizes: Annotated[str, typer.Option(help="Sizes, with commas between.")] = ",".join(SIZES),
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of Gatewise.")
    ] = None,
    shown: Annotated[
        bool, typer.Option("--table", help="Measure nothing, show the table.")
    ] = False,
) -> None:
    """Compare models of the same sizes, and print how often each is right."""
    figures = Figures(results)
    names = only.split(",") if only else [name for name in SETS if name not in LARGE]
    limits = [in_bytes(size) for size in sizes.split(",")]
    ways: list[Artifacts | Ftz] = [Artifacts(assignments or ()), Ftz()]
    try:
        for name in names:
            if shown:
                break
            split = read(data / name).split(SEED)
            for size in limits:
                for way in ways:
                    _measure(way, split, size, figures)
        typer.echo(table(names, limits, ways, figures))
    except (GatewiseError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None


def _measure(way: Artifacts | Ftz, split: Split, size: int, figures: Figures) -> None:
    place = key(way, split.name, size)
    if figures.get(place):
        return
    try:
        outcome = way.measure(split, size)
    except (SizeError, ValueError, RuntimeError) as error:  # fastText's own are the last two
        typer.echo(f"{split.name}, {size:,}, {way.title}: {error}", err=True)
        return
    figures.add(place, outcome)
    typer.echo(
        f"{split.name}, {size:,}, {way.title}: {outcome.accuracy:.4f} on test, "
        f"{outcome.validation:.4f} on validation, {outcome.chosen}",
        err=True,
    )


if __name__ == "__main__":
    typer.run(main)
