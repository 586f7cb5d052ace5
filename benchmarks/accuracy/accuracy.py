"""Test accuracy of Gatewise and of other classifiers, on the same splits of ten corpora.

Results are kept in a file as soon as they are known, so that a run continues where an earlier one
stopped, and rows can be measured apart.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.lib import corpora
from benchmarks.lib.classifiers import Classifier, FastText, Gatewise, Tfidf
from benchmarks.lib.command import DATA, AsJson, BenchmarkError, TrainingSettings, command
from benchmarks.lib.corpora import Corpus, Split
from benchmarks.lib.report import Row, report
from benchmarks.lib.results import Key, Results, key

CLASSIFIERS = ("gatewise", "gatewise-vectors", "svc", "lr", "fasttext")

# Vectors that are not trained may have more numbers.
_WITH_VECTORS = ("network.embedding_size=128",)

Choice = Callable[[str, int], Classifier]
"""The classifier for a corpus and a seed."""


def choices(
    settings: Sequence[str], vectors: Path | None, fasttext_seconds: float | None, results: Results
) -> dict[str, Choice]:
    """Every classifier by its name.

    FastText's autotune searches as long as Gatewise trained on the corpus, if no seconds are given.
    """
    gatewise = Gatewise(settings)
    with_vectors = [*_WITH_VECTORS, *settings, f"network.vectors={vectors}"]

    def fasttext(corpus: str, seed: int) -> FastText:
        found = results.get(key("gatewise", corpus, seed, gatewise.settings(corpus)))
        if fasttext_seconds is None and found is None:
            raise BenchmarkError(
                f"fastText searches as long as Gatewise trains: measure Gatewise on {corpus} with "
                f"the seed {seed} first, or give --fasttext-seconds"
            )
        return FastText(fasttext_seconds or (found.seconds if found else 0))

    found: dict[str, Choice] = {"gatewise": lambda *_: gatewise}
    if vectors:
        wider = Gatewise(with_vectors, "Gatewise, pretrained vectors")
        found["gatewise-vectors"] = lambda *_: wider
    found["svc"] = lambda *_: Tfidf("TF-IDF + LinearSVC", "svc")
    found["lr"] = lambda *_: Tfidf("TF-IDF + LR", "lr")
    if find_spec("fasttext"):
        found["fasttext"] = fasttext
    else:
        typer.echo('fasttext is left out: pip install "gatewise[benchmark]"', err=True)
    return found


def key_of(name: str, classifier: Classifier, corpus: str, seed: int) -> Key:
    """The key of a result."""
    return key(name, corpus, seed, classifier.settings(corpus))


def measure(
    data: Path,
    names: Sequence[str],
    seeds: Sequence[int],
    chosen: Mapping[str, Choice],
    results: Results,
) -> None:
    """Measures what the file does not have yet, corpus by corpus."""
    for corpus in names:
        whole: Corpus | None = None
        for seed in seeds:
            split: Split | None = None
            for name, choice in chosen.items():
                classifier = choice(corpus, seed)
                place = key_of(name, classifier, corpus, seed)
                if results.get(place) is None:
                    whole = whole or corpora.read(data / corpus)
                    split = split or whole.split(seed)
                    results.measure(place, partial(classifier.measure, split, seed))


def table(
    names: Sequence[str], seeds: Sequence[int], chosen: Mapping[str, Choice], results: Results
) -> list[Row]:
    """What the file has: means over the seeds, and the standard deviation of test accuracy."""
    rows: list[Row] = []
    for corpus in names:
        for name, choice in chosen.items():
            classifiers = {seed: choice(corpus, seed) for seed in seeds}
            keys = [key_of(name, each, corpus, seed) for seed, each in classifiers.items()]
            found = [result for each in keys if (result := results.get(each))]
            if found:
                accuracies = [100 * each.accuracy for each in found]
                rows.append(
                    {
                        "corpus": corpus,
                        "classifier": classifiers[seeds[0]].title,
                        "accuracy, %": statistics.mean(accuracies),
                        "±": statistics.stdev(accuracies) if len(found) > 1 else None,
                        "seeds": len(found),
                        "training, s": statistics.mean(each.seconds for each in found),
                    }
                )
    return rows


def among(names: str, known: Sequence[str]) -> list[str]:
    """Names separated by commas, in the order in which they are known."""
    given = [name.strip() for name in names.split(",")]
    for name in given:
        if name not in known:
            raise BenchmarkError(f"expected names among {', '.join(known)}, received {name!r}")
    return [name for name in known if name in given]


@command
def main(  # noqa: PLR0913, PLR0917 — an argument for each option
    data: Annotated[Path, typer.Argument(help="Folder with a folder for each corpus.")] = DATA,
    results: Annotated[Path, typer.Option(help="File in which results are kept.")] = Path(
        "runs/accuracy.jsonl"
    ),
    only: Annotated[
        str, typer.Option(help="Corpora, separated by commas; by default all but nsmc.")
    ] = ",".join(name for name in corpora.NAMES if name not in corpora.LARGE),
    classifiers: Annotated[str, typer.Option(help="Classifiers, separated by commas.")] = ",".join(
        CLASSIFIERS
    ),
    seeds: Annotated[str, typer.Option(help="Seeds, separated by commas.")] = "1,2,3",
    settings: TrainingSettings = None,
    vectors: Annotated[
        Path | None, typer.Option(help="network.vectors of a further row of Gatewise.")
    ] = None,
    fasttext_seconds: Annotated[
        float | None,
        typer.Option(help="How long fastText searches; by default as long as Gatewise trained."),
    ] = None,
    show: Annotated[bool, typer.Option("--table", help="Show the file, measure nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train Gatewise and others on the same splits, and print how often each is right."""
    kept = Results(results)
    known = choices(settings or (), vectors, fasttext_seconds, kept)
    chosen = {name: known[name] for name in among(classifiers, CLASSIFIERS) if name in known}
    names = among(only, corpora.NAMES)
    numbers = [int(seed) for seed in seeds.split(",")]
    if not show:
        measure(data, names, numbers, chosen, kept)
    rows = table(names, numbers, chosen, kept)
    report({"accuracy": rows}, facts={"seeds": seeds}, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
