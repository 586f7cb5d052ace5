import csv

import pytest

from gatewise.training.config import config
from gatewise.training.data.corpora import Corpora, read
from gatewise.training.data.encoded_corpus import encode_corpus
from gatewise.training.evaluation import baselines
from gatewise.training.evaluation.baselines import measure
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.tokenizer.tokenizer import train_tokenizer

TRAIN = [
    (f"a {word} day, number {n}", label) for n in range(30) for word, label in (("good", "+"),)
]
TRAIN += [(f"a bad day, number {n}", "-") for n in range(20)]
VALIDATION = [("good night", "+"), ("a bad night", "-"), ("the bad one", "-"), ("a good idea", "-")]


@pytest.fixture
def measured(tmp_path):
    def of(train, validation, *assignments, header=("text", "label")):
        for name, rows in (("train", train), ("validation", validation)):
            with (tmp_path / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([header, *rows])
        settings, policy = config.load(assignments=assignments), StopAtBadRows()
        corpora = Corpora(tmp_path / "train.csv", tmp_path / "validation.csv")
        rows = read(corpora, settings, policy, tmp_path)
        tokenizer = train_tokenizer(row.text for row in rows.train)
        corpus = encode_corpus(rows, tokenizer, settings, policy, tmp_path)
        return measure(
            [corpus.rows.train], corpus.validation, rows.labels, multi_label=rows.multi_label
        )

    return of


def test_the_baselines_are_measured_on_the_evaluated_rows(measured):
    found = measured(TRAIN, VALIDATION)
    assert (found.rows, found.majority_labels, found.majority) == (4, ("+",), 0.25)
    # The last text is taken for a good one.
    assert found.linear.accuracy == 0.75
    assert found.linear.macro_f1 == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found.linear.micro_f1 is None
    assert found.why_not is None
    assert measured(TRAIN, VALIDATION).as_dict() == found.as_dict()


def test_a_text_may_have_several_labels(measured):
    train = [(f"good day {n}", "+|all") for n in range(30)]
    train += [(f"bad day {n}", "all") for n in range(20)] + [(f"so so {n}", "") for n in range(20)]
    validation = [("good night", "+|all"), ("bad night", "all"), ("so", ""), ("bad good", "all")]
    found = measured(train, validation, header=("text", "labels"))
    assert (found.majority_labels, found.majority) == (("+", "all"), 0.25)
    assert found.linear.accuracy >= 0.75
    assert 0.5 < found.linear.micro_f1 <= 1


def test_rows_out_of_scope_are_left_out(measured):
    extra = [(f"who knows {n}", "oos") for n in range(60)]
    found = measured([*TRAIN, *extra], [*VALIDATION, *extra], "reject.out_of_scope=oos")
    assert (found.rows, found.majority_labels, found.majority) == (4, ("+",), 0.25)
    assert found.linear.accuracy == 0.75


@pytest.mark.parametrize(
    ("limit", "reason"), [("_MAX_CHARACTERS", "characters"), ("_MAX_TARGETS", "labels")]
)
def test_of_a_large_corpus_there_is_no_linear_one(measured, monkeypatch, limit, reason):
    monkeypatch.setattr(baselines, limit, 90)
    found = measured(TRAIN, VALIDATION)
    assert found.linear is None
    assert reason in found.why_not
    assert found.majority == 0.25


def test_texts_without_words_have_no_linear_one(measured):
    rows = [("!", "+"), ("?", "-")] * 10
    found = measured(rows, rows)
    assert (found.linear, found.why_not) == (None, "the texts have no words")
