"""Better labels: how many wrong ones an audit finds, and how many fewer texts must be labelled.

`wrong` swaps the labels of some training rows at random and audits them; the default model is then
trained on all rows, on those that are not doubtful, and on the right labels. `next` lets a linear
classifier choose the texts to be labelled, as `gatewise suggest` does, against a random choice.
"""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.svm import LinearSVC

import gatewise
from benchmarks.accuracy.draws import Draw, draw
from benchmarks.accuracy.linear import tfidf
from benchmarks.lib import corpora
from benchmarks.lib.command import DATA, AsJson, command
from benchmarks.lib.corpora import Corpus, Rows
from benchmarks.lib.fasttext_format import words
from benchmarks.lib.report import Row, report
from gatewise.training.labelling.suggestions import choose, margins_of, ngram_vectors

TARGET = 0.95
"""Share of the accuracy with every label that is to be reached."""

_CANDIDATES = 5
_SCALE = 5.0  # from margins of a support vector machine to probabilities

Sets = Annotated[str, typer.Option(help="Corpora, such as clinc150,trec6.")]
Data = Annotated[Path, typer.Option(help="A folder with a folder for each corpus.")]
Seeds = Annotated[str, typer.Option(help="Seeds, such as 1,2,3.")]

app = typer.Typer(add_completion=False)


def swapped(rows: Rows, share: float, seed: int) -> tuple[Rows, set[int]]:
    """The rows with a share of their labels swapped for another at random, and which these are."""
    generator = np.random.default_rng(seed)
    names = sorted({label for (label,) in rows.labels})
    chosen = generator.permutation(len(rows.texts))[: round(share * len(rows.texts))].tolist()
    labels = list(rows.labels)
    for row in chosen:
        others = [name for name in names if name != labels[row][0]]
        labels[row] = (others[generator.integers(len(others))],)
    return Rows(rows.texts, tuple(labels)), set(chosen)


def audit_swapped(corpus: Corpus, share: float, seed: int, *, train: bool) -> Row:
    """Audits swapped labels; the accuracies are on the test rows, from one training each."""
    wrong, which = swapped(corpus.train, share, seed)
    labels = [label for (label,) in wrong.labels]
    found = gatewise.audit(list(wrong.texts), labels)
    first = [row.line for row in found.rows[: len(which)]]
    suspects = {row.line for row in found.suspects}
    row: dict[str, str] = {
        "corpus": corpus.name,
        "rows": f"{len(labels):,}",
        "swapped": f"{len(which):,}",
        "swapped among as many first": f"{np.mean([line in which for line in first]):.1%}",
        "doubtful": f"{len(suspects):,}",
        "swapped among them": f"{len(suspects & which) / max(len(suspects), 1):.1%}",
    }
    if not train:
        return row
    kept = wrong.only([line for line in range(len(labels)) if line not in suspects])
    trained = {"with all": wrong, "without the doubtful": kept, "right labels": corpus.train}
    for name, rows in trained.items():
        row[name] = f"{_accuracy(rows, corpus.test, seed):.1%}"
    return row


def _accuracy(train: Rows, test: Rows, seed: int) -> float:
    labels, expected = ([label for (label,) in rows.labels] for rows in (train, test))
    model = gatewise.train(list(train.texts), labels, seed=seed, progress=False)
    return model.evaluate(list(test.texts), expected).main_metrics["accuracy"]


Chooser = Callable[[NDArray[np.float64], Sequence[NDArray[np.int64]], int, Any], NDArray[np.int64]]


def _by_suggestion(
    margins: NDArray[np.float64], ids: Sequence[NDArray[np.int64]], count: int, _: Any
) -> NDArray[np.int64]:
    candidates = np.argsort(margins, kind="stable")[: count * _CANDIDATES]
    vectors = ngram_vectors([ids[row] for row in candidates.tolist()])
    return candidates[choose(margins[candidates], vectors, count)]


def _by_margin(margins: NDArray[np.float64], _: Any, count: int, __: Any) -> NDArray[np.int64]:
    return np.argsort(margins, kind="stable")[:count]


def _at_random(
    margins: NDArray[np.float64], _: Any, count: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    return generator.permutation(len(margins))[:count]


CHOOSERS: dict[str, Chooser] = {
    "suggest": _by_suggestion,
    "smallest margin alone": _by_margin,
    "at random": _at_random,
}


def labels_needed(drawn: Draw, step: int, chooser: Chooser) -> tuple[int, float]:
    """Labels until the test accuracy is the share `TARGET` of that with all, and the latter."""
    train, test = tfidf(drawn)
    labels, expected = (np.array(rows.labels).ravel() for rows in (drawn.train, drawn.test))
    numbers: dict[str, int] = {}
    ids = [
        np.array([0, *(numbers.setdefault(word, len(numbers) + 1) for word in words(text))])
        for text in drawn.train.texts
    ]
    generator = np.random.default_rng(drawn.number)
    known = generator.permutation(len(labels))[:step]
    whole = _fitted(train, labels).score(test, expected)
    while True:
        model = _fitted(train[known], labels[known])
        if model.score(test, expected) >= TARGET * whole or len(known) == len(labels):
            return len(known), float(whole)
        pool = np.setdiff1d(np.arange(len(labels)), known)
        decisions = model.decision_function(train[pool])
        if decisions.ndim == 1:
            decisions = np.stack([-decisions, decisions], axis=1)
        margins = margins_of(softmax(_SCALE * decisions, axis=1))
        chosen = chooser(margins, [ids[row] for row in pool.tolist()], step, generator)
        known = np.concatenate([known, pool[chosen]])


def _fitted(texts: Any, labels: NDArray[np.str_]) -> LinearSVC:
    return LinearSVC(tol=0.01, random_state=0).fit(texts, labels)


@app.command("wrong")
@command
def wrong(
    sets: Sets = "clinc150",
    share: Annotated[float, typer.Option(help="Share of labels that are swapped.")] = 0.08,
    rows: Annotated[int | None, typer.Option(help="Training rows of a corpus, at most.")] = None,
    seeds: Seeds = "1",
    train: Annotated[bool, typer.Option(help="Train the default model too.")] = True,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Swap labels, and count how many of them an audit finds."""
    found = []
    for name in sets.split(","):
        corpus = corpora.read(data / name)
        corpus = Corpus(name, corpus.train.sample(rows), None, corpus.test)
        found += [audit_swapped(corpus, share, int(seed), train=train) for seed in seeds.split(",")]
    report({f"{share:.0%} of the labels swapped": found}, facts={"seeds": seeds}, as_json=as_json)


@app.command("next")
@command
def following(
    sets: Sets = "clinc150,trec6",
    step: Annotated[int, typer.Option(help="Labels of a round.")] = 100,
    seeds: Seeds = "1,2,3",
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Count the labels that are needed for 95% of the accuracy with all of them."""
    found: list[Row] = []
    for name in sets.split(","):
        corpus = corpora.read(data / name)
        row: dict[str, str] = {"corpus": name, "rows": f"{len(corpus.train.texts):,}"}
        for title, chooser in CHOOSERS.items():
            needed = []
            for seed in map(int, seeds.split(",")):
                count, whole = labels_needed(draw(corpus, "all", seed), step, chooser)
                needed.append(count)
            row["accuracy with all"] = f"{whole:.1%}"
            row[title] = f"{statistics.mean(needed):,.0f} ({min(needed):,} to {max(needed):,})"
        found.append(row)
    report(
        {f"labels for {TARGET:.0%} of the accuracy": found},
        facts={"seeds": seeds, "labels of a round": step},
        as_json=as_json,
    )


if __name__ == "__main__":
    app()
