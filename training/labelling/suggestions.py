"""The choice of texts to label next: those a model is unsure of, and that differ from each other.

Margin sampling (Scheffer, Decomain and Wrobel 2001, "Active Hidden Markov Models for Information
Extraction") names candidates; among them the next text is the one farthest from those chosen,
weighed by how unsure the model is of it (greedy k-center: Sener and Savarese 2018, "Active Learning
for Convolutional Neural Networks: A Core-Set Approach"). Nothing is drawn at random.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.scores import NO_LABELS
from gatewise.vocab.atomic_files import atomic_write, translate_write_errors
from gatewise.vocab.corpus import annotation_records
from gatewise.vocab.corpus.annotation_records import Annotation, Tool
from gatewise.vocab.corpus.label_values import SEPARATOR
from gatewise.vocab.corpus.records import Location, readable
from gatewise.vocab.errors import ArgumentError

_CANDIDATES = 5
"""Candidates for each text that is chosen."""

_WIDTH = 512
"""Numbers of a text's vector, into which its n-grams are hashed."""

_WINDOW = 4096
"""Texts classified at a time."""

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio, made odd


@dataclass(frozen=True)
class Suggestion:
    """A text to label.

    Attributes:
        position: Its position among the texts, from 0.
        text: The text.
        label: The label or labels that the model would give it.
        score: The probability of the best label.
        margin: How sure the model is: the distance of the two best labels, or of the nearest label
            to its threshold where a text may have several.
    """

    position: int
    text: str
    label: tuple[str, ...]
    score: float
    margin: float


def suggest(classifier: Classifier, texts: Sequence[str], count: int) -> list[Suggestion]:
    """Chooses texts to label.

    Args:
        classifier: The model as it is.
        texts: Texts without labels.
        count: How many to choose, at most; a text without a token is never chosen.

    Raises:
        ArgumentError: The count is not positive, or the model reads sequences of numbers.
    """
    classifier.artifact.require_texts()
    if count < 1:
        raise ArgumentError(f"n: expected 1 or more texts to choose, received {count}")
    if classifier.task == "regression":
        raise ArgumentError(NO_LABELS.format("suggest"))
    probabilities = np.zeros((len(texts), len(classifier.classes_)), dtype=np.float32)
    readable = np.ones(len(texts), dtype=np.bool_)
    for start in range(0, len(texts), _WINDOW):
        encoded = classifier.encode(texts[start : start + _WINDOW])
        full = [number for number, text in enumerate(encoded) if not text.is_empty]
        readable[start : start + len(encoded)] = [not text.is_empty for text in encoded]
        if full:
            rows = start + np.array(full)
            probabilities[rows] = classifier.probabilities([encoded[number] for number in full])
    thresholds = None if classifier.thresholds is None else np.array(classifier.thresholds)
    margins = margins_of(probabilities, thresholds)
    candidates = np.argsort(np.where(readable, margins, np.inf), kind="stable")
    candidates = candidates[: min(count * _CANDIDATES, np.count_nonzero(readable))]
    ids = [each.ids for each in classifier.encode([texts[row] for row in candidates.tolist()])]
    chosen = candidates[choose(margins[candidates], ngram_vectors(ids), count)]
    return [
        Suggestion(
            row,
            texts[row],
            tuple(classifier.predicted(probabilities[[row]], [None])),
            float(probabilities[row].max()),
            float(margins[row]),
        )
        for row in chosen.tolist()
    ]


def write(
    path: Path,
    suggestions: Sequence[Suggestion],
    places: Sequence[Location],
    labels: Sequence[str],
    tool: Tool | None = None,
) -> None:
    """Writes the texts to label as CSV with an empty column `label`, or as a tool imports them.

    Args:
        path: The file, written whole or not at all.
        suggestions: The texts.
        places: The place of each text of the pool.
        labels: The labels of the model.
        tool: The tool; None for CSV.

    Raises:
        OutputError: The file cannot be written.
    """
    with translate_write_errors(path), atomic_write(path) as partial:
        if tool is not None:
            rows = [
                Annotation(
                    *(each.text, each.label, each.score, None),
                    *(places[each.position].file, places[each.position].line),
                )
                for each in suggestions
            ]
            annotation_records.write(partial, tool, rows, labels)
            return
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("file", "line", "text", "label", "suggested", "score", "margin"))
            for each in suggestions:
                place = places[each.position]
                suggested = SEPARATOR.join(each.label)
                scores = (f"{each.score:.6f}", f"{each.margin:.6f}")
                file_name = readable(place.file)
                writer.writerow((file_name, place.line, each.text, "", suggested, *scores))


def margins_of(
    probabilities: NDArray[np.floating], thresholds: NDArray[np.floating] | None = None
) -> NDArray[np.float64]:
    """How sure a model is of each text, `(texts,)`.

    >>> margins_of(np.array([[0.5, 0.25, 0.25], [0.9, 0.1, 0.0]])).round(2).tolist()
    [0.25, 0.8]

    Args:
        probabilities: The probability of each label, `(texts, labels)`.
        thresholds: The threshold of each label, if a text may have several.
    """
    wide = probabilities.astype(np.float64)
    if thresholds is not None:
        return np.asarray(np.abs(wide - thresholds).min(axis=1))
    best = np.sort(wide, axis=1)[:, -2:]
    return np.asarray(best[:, 1] - best[:, 0])


def ngram_vectors(texts: Sequence[NDArray[np.integer]]) -> NDArray[np.float32]:
    """Vectors of length 1 of the words and pairs of words of some texts, float32 `(texts, width)`.

    Each n-gram has its inverse document frequency as its weight and is hashed to a place and a sign
    (Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask Learning").

    Args:
        texts: The token ids of each text, the begin mark included.
    """
    keys, rows = [], []
    for row, ids in enumerate(texts):
        tokens = np.asarray(ids, dtype=np.uint64)[1:] + np.uint64(1)
        pairs = tokens[:-1] * _MULTIPLIER + tokens[1:]
        keys.append(np.unique(np.concatenate([tokens, pairs])))
        rows.append(np.full(len(keys[-1]), row))
    vectors = np.zeros((len(texts), _WIDTH), dtype=np.float32)
    if not keys:
        return vectors
    known, numbers, counts = np.unique(
        np.concatenate(keys), return_inverse=True, return_counts=True
    )
    weights = 1 + np.log((1 + len(texts)) / (1 + counts))
    hashes = known * _MULTIPLIER
    hashes ^= hashes >> np.uint64(32)
    signed = np.where(hashes & np.uint64(1), weights, -weights)
    places = ((hashes >> np.uint64(1)) % np.uint64(_WIDTH)).astype(np.int64)
    np.add.at(vectors, (np.concatenate(rows), places[numbers]), signed[numbers])
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)


def choose(
    margins: NDArray[np.float64], vectors: NDArray[np.float32], count: int
) -> NDArray[np.int64]:
    """The numbers of the texts to label, the first one first.

    Args:
        margins: How sure the model is of each candidate, ascending, `(candidates,)`.
        vectors: Their vectors, of length 1, `(candidates, width)`.
        count: How many to choose, at most.
    """
    unsure = 1 - margins
    nearest = np.ones(len(margins))
    chosen: list[int] = []
    for _ in range(min(count, len(margins))):
        gain = np.where(nearest < 0, -1, nearest * unsure)
        best = int(gain.argmax())
        chosen.append(best)
        nearest = np.minimum(nearest, 1 - vectors @ vectors[best])
        nearest = np.maximum(nearest, 0)
        nearest[chosen] = -1
    return np.array(chosen, dtype=np.int64)
