"""How accurate a model of so many bytes is: Gatewise's mobile export beside fastText's `.ftz`.

Of Gatewise the network in ONNX, the tokenizer and `config.json` count; of fastText the whole file,
which has its dictionary in it. Results are kept in a file as soon as they are known.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from benchmarks.lib import corpora
from benchmarks.lib.command import DATA, AsJson, BenchmarkError, TrainingSettings, command
from benchmarks.lib.corpora import Split
from benchmarks.lib.fasttext_format import fasttext_accuracy, fasttext_file, fasttext_ids
from benchmarks.lib.report import Row, report
from benchmarks.lib.results import Key, Result, Results, key
from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_folder import read_model_folder
from gatewise.training.config import config as configs
from gatewise.training.config.config import Config
from gatewise.training.evaluation.evaluate import evaluate
from gatewise.training.mobile.mobile_export import export_mobile
from gatewise.training.pipeline import train
from gatewise.value_types import in_bytes
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import read_rows
from gatewise.vocab.tokenizer.encoded_rows import EncodedRow, encode_rows

SEED = 1

GRID = tuple(
    {"wordNgrams": words, "minn": shortest, "maxn": longest}
    for words in (1, 2, 3)
    for shortest, longest in ((0, 0), (2, 5))
)
"""Settings of fastText that are tried: word n-grams, and the lengths of character n-grams."""

CUTOFFS = (60_000, 40_000, 26_000, 18_000, 12_000, 8_000, 5_500, 3_600, 2_400, 1_600, 1_000, 600)
"""Features that fastText's quantization keeps; the most that fit into a size are taken."""

Settings = dict[str, Any]

_FASTTEXT: Settings = {"epoch": 25, "lr": 0.5, "thread": 1}


@dataclass
class MobileExport:
    """Gatewise's mobile export; the model of a corpus is trained once, for all sizes."""

    scratch: Path
    assignments: Sequence[str] = ()
    title: str = "Gatewise"

    def config(self) -> Config:
        """Every setting of a run."""
        assignments = [*self.assignments, f"training.seed={SEED}"]
        return configs.load(assignments=assignments).without_places()

    def settings(self, size: int) -> Settings:
        """What its results depend on; of a folder or file of vectors, its name."""
        settings = self.config().model_dump(mode="json")
        if vectors := settings["network"]["vectors"]:
            settings["network"]["vectors"] = Path(vectors).name
        return {"size": size, **settings}

    def measure(self, split: Split, size: int) -> Result:
        """Trains a model, exports it, and tests what was written."""
        start = time.process_time()
        model, out = (self.scratch / split.name / name for name in ("model", "small"))
        with split.written() as files:
            if files.validation is None or files.test is None:
                raise BenchmarkError("expected validation and test rows")
            validation, test = files.validation, files.test
            if not model.exists():
                train(files, model, self.config(), StopAtBadRows(), lambda _: None)
            exported = export_mobile(
                model,
                out,
                max_size=size,
                rows=lambda _: read_rows(validation, bad_rows=StopAtBadRows()),
                on_step=lambda _: None,
            )
            seconds = time.process_time() - start
            classifier = Classifier(read_model_folder(out))
            rows = encode_rows(classifier.encode, read_rows(test, bad_rows=StopAtBadRows()))
            report = evaluate(classifier, (row for row in rows if isinstance(row, EncodedRow)))
        validated = exported.steps[-1].accuracy or 0.0
        return Result(report.accuracy, validated, seconds, f"{exported.size} bytes")


@dataclass
class Ftz:
    """FastText's quantized models: the best of a grid, cut to as many features as fit, retrained.

    Settings are chosen by the validation texts.
    """

    title: str = "fastText, .ftz"
    _models: dict[str, bytes] = field(default_factory=dict)

    def settings(self, size: int) -> Settings:
        """What its results depend on."""
        return {"size": size, "grid": GRID, "cutoffs": CUTOFFS}

    def measure(self, split: Split, size: int) -> Result:
        """Trains the grid once for a corpus, and quantizes the best to a size."""
        import fasttext  # noqa: PLC0415 — of an extra, for this row alone

        ids = fasttext_ids(split.train)
        start = time.process_time()
        with TemporaryDirectory() as scratch:
            whole, small = Path(scratch) / "model.bin", Path(scratch) / "model.ftz"
            rows = fasttext_file(Path(scratch) / "train.txt", split.train, ids)
            if split.name not in self._models:
                best = self._best(fasttext, rows, split, ids)
                best.save_model(str(whole))
                self._models[split.name] = whole.read_bytes()
            whole.write_bytes(self._models[split.name])
            for cutoff in CUTOFFS:
                model = fasttext.load_model(str(whole))
                try:
                    model.quantize(str(rows), cutoff=cutoff, retrain=True, qnorm=True, **_FASTTEXT)
                except (ValueError, RuntimeError) as error:  # fastText's own
                    raise BenchmarkError(f"fastText: {error}") from None
                model.save_model(str(small))
                if small.stat().st_size <= size:
                    seconds = time.process_time() - start
                    test, validated = (
                        fasttext_accuracy(model, part, ids)
                        for part in (split.test, split.validation)
                    )
                    return Result(test, validated, seconds, f"{small.stat().st_size} bytes")
        raise BenchmarkError(f"no .ftz of {CUTOFFS[-1]} features or more has {size:,} bytes")

    def _best(self, fasttext: Any, rows: Path, split: Split, ids: dict[str, str]) -> Any:
        sizes = {"dim": 50, "bucket": 200_000, "seed": SEED, "verbose": 0}
        models = [
            fasttext.train_supervised(str(rows), **_FASTTEXT, **each, **sizes) for each in GRID
        ]
        return max(models, key=lambda model: fasttext_accuracy(model, split.validation, ids))


Candidate = MobileExport | Ftz


def key_of(candidate: Candidate, corpus: str, size: int) -> Key:
    """The key of a result."""
    return key(candidate.title, corpus, SEED, candidate.settings(size))


def row(
    corpus: str, sizes: Sequence[int], candidates: Sequence[Candidate], results: Results
) -> Row:
    """Test accuracy in percent, and size in KB, of every candidate."""
    cells: dict[str, object] = {"corpus": corpus}
    for size in sizes:
        for each in candidates:
            found = results.get(key_of(each, corpus, size))
            name = f"{each.title}, {size // 1000:,} KB"
            cells[name] = None
            if found:
                kilobytes = int(found.chosen.split()[0]) / 1000
                cells[name] = f"{100 * found.accuracy:.1f} ({kilobytes:,.0f})"
    return cells


@command
def main(
    data: Annotated[Path, typer.Argument(help="Folder with a folder for each corpus.")] = DATA,
    results: Annotated[Path, typer.Option(help="File in which results are kept.")] = Path(
        "runs/sizes.jsonl"
    ),
    only: Annotated[str, typer.Option(help="Corpora, separated by commas.")] = ",".join(
        name for name in corpora.NAMES if name not in corpora.LARGE
    ),
    sizes: Annotated[str, typer.Option(help="Sizes, separated by commas.")] = "100KB,250KB,1MB",
    settings: TrainingSettings = None,
    show: Annotated[bool, typer.Option("--table", help="Show the file, measure nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare models of the same sizes, and print how often each is right."""
    kept = Results(results)
    names, limits = only.split(","), [in_bytes(size) for size in sizes.split(",")]
    with TemporaryDirectory() as scratch:
        candidates: list[Candidate] = [MobileExport(Path(scratch), settings or ()), Ftz()]
        for name in names if not show else ():
            split = corpora.read(data / name).split(SEED)
            for size in limits:
                for each in candidates:
                    place = key_of(each, name, size)
                    kept.measure(place, partial(each.measure, split, size))
    rows = [row(name, limits, candidates, kept) for name in names]
    report({"accuracy, % (KB)": rows}, facts={"seed": SEED}, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
