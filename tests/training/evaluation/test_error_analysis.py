import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from gatewise.service.model.scores import apply
from gatewise.training.evaluation.error_analysis import (
    MISTAKES_KEPT,
    TEXT_LENGTH,
    UNKNOWN_BINS,
    ErrorAnalyzer,
)
from gatewise.vocab.corpus.corpus_reader import Row
from gatewise.vocab.corpus.records import Location
from gatewise.vocab.tokenizer.coverage import CoverageCounter
from gatewise.vocab.tokenizer.encoded_rows import EncodedRow
from gatewise.vocab.tokenizer.encoding import Encoded
from gatewise.vocab.tokenizer.tokenizer import CLS_ID, UNKNOWN_ID, train_tokenizer

NAMES = ["a", "b", "c", "d"]


def row(number, labels, ids=(5, 6), *, text=None, truncated=False):
    encoded = Encoded(np.array([CLS_ID, *ids], dtype=np.int64), truncated)
    location = Location(f"/somewhere/{number % 2}.csv", number)
    return EncodedRow(Row(text or f"text {number}", tuple(labels), location), encoded)


@pytest.fixture
def single():
    """Rows of one label each and logits that are wrong now and then: `(rows, logits)`."""
    generator = np.random.default_rng(0)
    truth = generator.integers(len(NAMES), size=500)
    logits = generator.normal(size=(500, len(NAMES))).astype(np.float32)
    logits[np.arange(500), truth] += 1
    return [row(number, [NAMES[label]]) for number, label in enumerate(truth)], logits


@pytest.fixture
def several():
    """Rows of any number of labels: `(rows, logits)`."""
    generator = np.random.default_rng(1)
    truth = generator.random((300, len(NAMES))) < 0.3
    logits = np.where(truth, 1, -1) + generator.normal(size=truth.shape)
    labels = [np.array(NAMES)[has].tolist() for has in truth]
    return [row(number, each) for number, each in enumerate(labels)], logits.astype(np.float32)


def analysis_of(rows, logits, *settings, window=None, **more):
    analyzer = ErrorAnalyzer(NAMES, *settings, **more)
    for start in range(0, len(rows), window or len(rows)):
        some = slice(start, start + (window or len(rows)))
        analyzer.add(rows[some], np.asarray(logits, dtype=np.float32)[some])
    return analyzer.result()


def test_the_confusions_are_those_of_scikit_learn(single):
    rows, logits = single
    found = analysis_of(rows, logits)
    places = {name: place for place, name in enumerate(NAMES)}
    matrix = np.diag([label.hits for label in found.labels])
    for pair in found.confused:
        matrix[places[pair.right], places[pair.given]] = pair.rows
    truth = [places[row.row.label] for row in rows]
    assert (matrix == confusion_matrix(truth, logits.argmax(axis=1))).all()
    hits = matrix.diagonal()
    assert [label.missed for label in found.labels] == (matrix.sum(axis=1) - hits).tolist()
    assert [label.wrong for label in found.labels] == (matrix.sum(axis=0) - hits).tolist()
    assert found.mistaken_rows == 500 - matrix.trace() > 0
    frequencies = [pair.rows for pair in found.confused]
    assert frequencies == sorted(frequencies, reverse=True)


@pytest.mark.parametrize("task", ["single", "several"])
def test_windows_make_no_difference(task, request):
    rows, logits = request.getfixturevalue(task)
    settings = (True, (0.5, 0.3, 0.6, 0.5)) if task == "several" else ()
    whole, parts = (
        analysis_of(rows, logits, *settings, window=size).as_dict() for size in (1000, 7)
    )
    # Sums of floats depend on their order in the last bits; everything else is counts.
    for one, other in zip(whole.pop("trust"), parts.pop("trust"), strict=True):
        assert one == pytest.approx(other)
    assert whole.pop("calibration_error") == pytest.approx(parts.pop("calibration_error"))
    assert whole == parts


def test_the_worst_mistakes_are_the_surest(single):
    rows, logits = single
    worst = analysis_of(rows, logits, window=50).mistakes
    probabilities = apply("softmax", logits)
    given = logits.argmax(axis=1)
    wrong = [
        (-float(probabilities[number, label]), number)
        for number, label in enumerate(given.tolist())
        if NAMES[label] != rows[number].row.label
    ]
    assert len(wrong) > MISTAKES_KEPT
    expected = [f"text {number}" for _, number in sorted(wrong)[:MISTAKES_KEPT]]
    assert [mistake.text for mistake in worst] == expected
    first = worst[0]
    number = int(first.text.removeprefix("text "))
    assert first.right == rows[number].row.labels
    assert first.given == (first.label,) == (NAMES[given[number]],)
    assert first.probability == pytest.approx(probabilities[number, given[number]])
    assert first.right_probability < first.probability
    assert first.place == f"{number % 2}.csv, line {number}"  # without the folder
    # Of equal mistakes the first is the worse.
    equal = analysis_of([row(number, ["b"]) for number in range(80)], [[3, 0, 0, 0]] * 80)
    texts = [mistake.text for mistake in equal.mistakes]
    assert texts == [f"text {number}" for number in range(MISTAKES_KEPT)]


def test_several_labels_are_given_by_their_thresholds():
    sure = np.log(0.9 / 0.1)
    rows = [row(1, ["b", "c"]), row(2, [])]
    logits = [[sure, -sure, 0, -9], [-9, -9, -9, -9]]
    found = analysis_of(rows, logits, multi_label=True, thresholds=(0.5, 0.95, 0.4, 0.5))
    counts = {label.label: (label.hits, label.missed, label.wrong) for label in found.labels}
    assert counts == {"a": (0, 0, 1), "b": (0, 1, 0), "c": (1, 0, 0), "d": (0, 0, 0)}
    assert [(pair.right, pair.given, pair.rows) for pair in found.confused] == [("b", "a", 1)]
    assert found.mistaken_rows == 1
    (mistake,) = found.mistakes
    assert (mistake.right, mistake.given) == (("b", "c"), ("a", "c"))
    assert mistake.label in {"a", "b"}
    assert mistake.right_probability is None
    assert sum(found.predictions for found in found.trust) == 8  # every row and label


def test_lengths_and_unknown_tokens_are_counted():
    rows = [
        row(1, ["a"], [7]),
        row(2, ["a"], [7] * 19 + [UNKNOWN_ID]),
        row(3, ["a"], [UNKNOWN_ID] * 3, truncated=True),
        row(4, ["a"], [7, UNKNOWN_ID]),
    ]
    found = analysis_of(rows, np.zeros((4, 4)), window=2)
    lengths = {length: texts for length, texts in enumerate(found.lengths) if texts}
    assert lengths == {2: 1, 3: 1, 4: 1, 21: 1}
    assert found.truncated == 1
    unknown = {index: texts for index, texts in enumerate(found.unknown) if texts}
    assert unknown == {0: 1, 1: 1, UNKNOWN_BINS // 2: 1, UNKNOWN_BINS: 1}
    bins = [(found.first, found.last, found.texts) for found in found.length_bins(max_bins=4)]
    assert bins == [(2, 6, 3), (7, 11, 0), (12, 16, 0), (17, 21, 1)]


def test_a_word_in_pieces_is_one_unknown_word():
    tokenizer = train_tokenizer(["low lower slow new"], pieces=50)
    texts = ["slower", "slower low new low", "low", "zoo zoo"]
    rows = [row(number, ["a"], tokenizer.encode(text).ids[1:]) for number, text in enumerate(texts)]
    analyzer = ErrorAnalyzer(NAMES, coverage_counter=CoverageCounter(tokenizer))
    analyzer.add(rows, np.zeros((4, 4), np.float32))
    unknown = {index: texts for index, texts in enumerate(analyzer.result().unknown) if texts}
    assert unknown == {0: 1, UNKNOWN_BINS // 4: 1, UNKNOWN_BINS: 2}


def test_trust_compares_probabilities_with_the_share_that_is_right():
    # 80% for a label that is right three times of four.
    rows = [row(number, [label]) for number, label in enumerate("aaab")]
    found = analysis_of(rows, np.log([[0.8, 0.1, 0.05, 0.05]] * 4))
    (filled,) = [trust for trust in found.trust if trust.predictions]
    assert (filled.predictions, filled.right) == (4, 0.75)
    assert filled.probability == pytest.approx(0.8)
    assert found.calibration_error == pytest.approx(0.05)


def test_a_row_may_be_given_no_label_and_have_none():
    """A wrong answer, a row out of scope that is given a label, and two that are given none."""
    probabilities = [[0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1], [0.4, 0.3, 0.2, 0.1]]
    rows = [row(1, ["b"]), row(2, []), row(3, ["a"]), row(4, [])]
    found = analysis_of(rows, np.log([*probabilities, [0.3, 0.4, 0.2, 0.1]]), min_probability=0.5)
    assert (found.rows, found.mistaken_rows) == (4, 3)
    assert [(pair.right, pair.given) for pair in found.confused] == [("b", "a")]
    # What was given no label is nothing that the model was sure of.
    mistakes = [(each.right, each.given, each.right_probability) for each in found.mistakes]
    assert sorted(mistakes) == [((), ("b",), None), (("b",), ("a",), pytest.approx(0.1))]
    counts = [(each.hits, each.missed, each.wrong) for each in found.labels]
    assert counts == [(0, 1, 1), (0, 1, 1), (0, 0, 0), (0, 0, 0)]
    # Trust is of rows that have a label, whether they are given one or not.
    assert sum(each.predictions for each in found.trust) == 2


def test_memory_does_not_grow_with_the_rows():
    analyzer = ErrorAnalyzer(NAMES)
    logits = np.tile(np.array([[3, 0, 0, 0]], dtype=np.float32), (100, 1))

    def window(number):
        return [row(number, ["b"], text=f"{number}" * 20_000) for _ in range(100)]

    analyzer.add(window(10), logits)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(20, 40):
        analyzer.add(window(number), logits)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 100_000  # the texts were 80 MB
    texts = [mistake.text for mistake in analyzer.result().mistakes]
    assert {len(text) for text in texts} == {TEXT_LENGTH + 1}
    assert texts[0].endswith("…")
