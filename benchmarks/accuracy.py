"""How often Gatewise is right, beside other classifiers: one table, the same splits for all.

Every figure is kept in a file as soon as it is known, so that a run goes on where an earlier one
was stopped and rows can be measured apart. Owns which classifier meets which set; the sets, the
other classifiers and the table have modules of their own.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from embeddings import Embeddings
from figures import Figures, Key, accuracies, digest, seconds
from gatewise.vocab.errors import GatewiseError
from ours import Gatewise
from peers import Classifier, FastText, Settings, Tfidf
from splits import LARGE, SETS, Set, Split, read

GATEWISE, WITH_VECTORS, FASTTEXT, ENCODER = "gatewise", "gatewise-vectors", "fasttext", "embeddings"
WIDER = ("network.embedding_size=128",)
"""What the row with vectors has beside them: vectors that are not learnt may have more numbers."""

CLASSIFIERS = (GATEWISE, WITH_VECTORS, "svc", "lr", FASTTEXT, ENCODER)


def fasttext(figures: Figures, ours: Gatewise, limits: Mapping[str, float]) -> FastText:
    """FastText, looking for settings for so many seconds, or as long as Gatewise trained.

    Args:
        figures: Where Gatewise's time is found.
        ours: Which Gatewise.
        limits: Seconds by the set's name; under the empty name those of the other sets.
    """

    def limit(name: str) -> float | None:
        return limits.get(name, limits.get(""))

    def budget(name: str, seed: int) -> float:
        if fixed := limit(name):
            return fixed
        if found := figures.get(key(GATEWISE, ours, name, seed)):
            return found.seconds
        raise GatewiseError(
            f"fastText looks for settings as long as Gatewise trains, and Gatewise has not been "
            f"trained on {name} with the seed {seed}: measure it first, or give --fasttext-seconds"
        )

    def told(name: str) -> Settings:
        fixed = limit(name)
        return {"seconds": fixed} if fixed else {"as": ours.settings(name)}

    return FastText(budget, told)


def key(name: str, classifier: Classifier, of: str, seed: int) -> Key:
    """Under which a figure is kept."""
    return Key(name, of, seed, digest(classifier.settings(of)))


def by_set(values: Sequence[str]) -> dict[str, list[str]]:
    """Values as they were given, `VALUE` or `SET:VALUE`, by the set; the others under no name.

    >>> by_set(["60", "imdb:180"])
    {'': ['60'], 'imdb': ['180']}
    """
    found: dict[str, list[str]] = {}
    for value in values:
        name, colon, rest = value.partition(":")
        of, told = (name, rest) if colon and name in SETS else ("", value)
        found.setdefault(of, []).append(told)
    return found


def lacking(name: str, classifier: Classifier) -> str | None:
    """What a classifier needs and does not find, if anything."""
    if name == FASTTEXT and find_spec("fasttext") is None:
        return 'the package fasttext-community: pip install "gatewise[benchmark]"'
    if isinstance(classifier, Embeddings) and not (classifier.encoder / "model.onnx").is_file():
        return f"{classifier.encoder}/model.onnx: write it with benchmarks/encoder.py"
    return None


def measure(
    data: Path,
    sets: Sequence[str],
    seeds: Sequence[int],
    classifiers: Mapping[str, Classifier],
    figures: Figures,
) -> None:
    """Measures what the file lacks, set by set; tells of each figure, and of what cannot be had."""
    able = {}
    for name, classifier in classifiers.items():
        if need := lacking(name, classifier):
            typer.echo(f"{name} is left out: expected {need}", err=True)
        else:
            able[name] = classifier
    for of in sets:
        whole: Set | None = None
        for seed in seeds:
            split: Split | None = None
            for name, classifier in able.items():
                place = key(name, classifier, of, seed)
                if figures.get(place):
                    continue
                whole = whole or read(data / of)
                split = split or whole.split(seed)
                try:
                    outcome = classifier.measure(split, seed)
                except GatewiseError as error:
                    typer.echo(f"{of}, seed {seed}, {name}: {error}", err=True)
                    continue
                figures.add(place, outcome)
                typer.echo(
                    f"{of}, seed {seed}, {name}: {outcome.accuracy:.4f} on test, "
                    f"{outcome.validation:.4f} on validation, {outcome.seconds:.0f} s, "
                    f"{outcome.chosen}",
                    err=True,
                )


def tables(
    sets: Sequence[str],
    seeds: Sequence[int],
    classifiers: Mapping[str, Classifier],
    figures: Figures,
) -> str:
    """The two tables, of what the file has."""
    cells = {
        (classifier.title, of): [
            found for seed in seeds if (found := figures.get(key(name, classifier, of, seed)))
        ]
        for name, classifier in classifiers.items()
        for of in sets
    }
    titles = [c.title for c in classifiers.values() if any(cells[c.title, of] for of in sets)]
    columns = [of for of in sets if any(cells[title, of] for title in titles)]
    if not titles:
        raise GatewiseError("nothing has been measured yet")
    shown = accuracies(cells, titles, columns, len(seeds))
    return f"{shown}\n\n{seconds(cells, titles, columns)}"


def main(  # noqa: PLR0913, PLR0917 — an argument for each option
    data: Annotated[Path, typer.Argument(help="Folder with a folder for each set.")] = Path(
        "../shared/data"
    ),
    results: Annotated[Path, typer.Option(help="File in which figures are kept.")] = Path(
        "runs/accuracy.jsonl"
    ),
    only: Annotated[
        str | None, typer.Option(help=f"Sets, with commas between; by default all but {LARGE[0]}.")
    ] = None,
    classifiers: Annotated[str, typer.Option(help="Classifiers, with commas between.")] = ",".join(
        CLASSIFIERS
    ),
    seeds: Annotated[str, typer.Option(help="Seeds, with commas between.")] = "1,2,3",
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of Gatewise; SET:section.key=value for one set."),
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option(help="Vectors for a further row of Gatewise, as network.vectors takes them."),
    ] = None,
    encoder: Annotated[
        Path, typer.Option(help="Sentence encoder, as benchmarks/encoder.py writes it.")
    ] = Path("runs/all-MiniLM-L6-v2"),
    kept: Annotated[
        Path, typer.Option("--embeddings", help="Folder in which its vectors are kept.")
    ] = Path("runs/embeddings"),
    fasttext_seconds: Annotated[
        list[str] | None,
        typer.Option(
            help="How long fastText looks for settings, or SET:SECONDS; by default as long as "
            "Gatewise trained."
        ),
    ] = None,
    table: Annotated[
        bool, typer.Option("--table", help="Measure nothing, show the table.")
    ] = False,
) -> None:
    """Train Gatewise and others on the same splits, and print how often each is right."""
    figures = Figures(results)
    of_set = by_set(assignments or ())
    ours = Gatewise("Gatewise", of_set.pop("", ()), of_set)
    known: dict[str, Classifier] = {
        GATEWISE: ours,
        "svc": Tfidf("TF-IDF + LinearSVC", "svc"),
        "lr": Tfidf("TF-IDF + LR", "lr"),
    }
    try:
        if vectors:
            with_vectors = [*WIDER, *ours.assignments, f"network.vectors={vectors}"]
            known[WITH_VECTORS] = Gatewise("Gatewise, pretrained vectors", with_vectors, of_set)
        limits = {of: float(told[-1]) for of, told in by_set(fasttext_seconds or ()).items()}
        known[FASTTEXT] = fasttext(figures, ours, limits)
        known[ENCODER] = Embeddings(encoder, kept)
        chosen = {name: known[name] for name in among(classifiers, CLASSIFIERS) if name in known}
        sets = among(only, SETS) if only else [of for of in SETS if of not in LARGE]
        numbers = [int(seed) for seed in seeds.split(",")]
        if not table:
            measure(data, sets, numbers, chosen, figures)
        typer.echo(tables(sets, numbers, chosen, figures))
    except (GatewiseError, OSError, ValueError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None


def among(names: str, known: Sequence[str]) -> list[str]:
    """Names with commas between, in the order in which they are known.

    Raises:
        GatewiseError: If one is not known.
    """
    given = [name.strip() for name in names.split(",")]
    for name in given:
        if name not in known:
            raise GatewiseError(f"expected names among {', '.join(known)}, received {name!r}")
    return [name for name in known if name in given]


if __name__ == "__main__":
    typer.run(main)
