"""Label columns: one label, several labels, probabilities."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewise.vocab.corpus.bad_row_policy import BadRowsError, StopAtBadRows
from gatewise.vocab.corpus.columns import Columns
from gatewise.vocab.corpus.corpus_reader import open_corpus, read_rows
from gatewise.vocab.corpus.label_values import one_label, probabilities, several_labels
from gatewise.vocab.corpus.records import BadRow, Location, Record
from gatewise.vocab.errors import CorpusError

SOFT = Columns(probability_prefix="p_")
SEVERAL = "for several labels per text, set corpus.task=multi_label"
NO_PROBABILITY = "column 'p_a': expected a probability between 0 and 1"
SOFT_SEVERAL = Columns(task="multi_label", probability_prefix="p_")


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


def read(path, columns=None, **options):
    return list(read_rows(path, bad_rows=StopAtBadRows(), columns=columns, **options))


def reason(path, columns=None, **options):
    with pytest.raises(BadRowsError) as caught:
        read(path, columns, **options)
    (row,) = caught.value.rows
    assert str(row.location) == f"{path}, line 1"
    return row.reason


class TestSeveralLabels:
    @pytest.mark.parametrize(
        ("value", "labels"),
        [
            (["b", "a"], ("a", "b")),
            ([3, "b", -1], ("-1", "3", "b")),
            ([], ()),
            ("b|a", ("a", "b")),
            ("", ()),
            (["a|b"], ("a|b",)),
            ([" a"], (" a",)),
        ],
    )
    def test_lists_and_cells(self, tmp_path, value, labels):
        (row,) = read(write(tmp_path / "a.jsonl", {"text": "x", "labels": value}))
        assert (row.labels, row.probabilities) == (labels, None)
        if isinstance(value, str):
            (tmp_path / "a.tsv").write_text(f"text\tlabels\nx\t{value}\n")
            assert [each.labels for each in read(tmp_path / "a.tsv")] == [labels]

    @pytest.mark.parametrize(
        ("cell", "labels"),
        [
            ("['joy', 'love']", ("joy", "love")),
            ('["joy", "love"]', ("joy", "love")),
            ("""['joy', "it's"]""", ("it's", "joy")),
            (r"['it\'s', 'a|b']", ("a|b", "it's")),
            (r'["\ud83d\ude00"]', ("\N{GRINNING FACE}",)),
            (" [3, 12] ", ("12", "3")),
            ("('joy',)", ("joy",)),
            ("{'joy', 'love'}", ("joy", "love")),
            ("[]", ()),
            ("[urgent]", ("[urgent]",)),
            ("[urgent]|joy", ("[urgent]", "joy")),
        ],
    )
    def test_lists_written_as_text(self, cell: str, labels: tuple[str, ...]) -> None:
        assert several_labels(Record({"labels": cell}, Location("f", 1), ""), "labels") == labels

    @pytest.mark.parametrize(
        "cell", ["['joy' 'love']", "[3 12]", "['joy', nan]", r"['\x']", "['joy', 'love]"]
    )
    def test_a_list_that_cannot_be_read_is_not_taken_for_a_label(self, cell: str) -> None:
        record = Record({"labels": cell, "label": cell}, Location("f", 1), "")
        several, one = several_labels(record, "labels"), one_label(record, "label")
        assert isinstance(several, BadRow)
        assert several.reason == (
            "expected the labels to be a list such as ['a', 'b'], or separated by '|', received "
            f"{cell!r}"
        )
        assert isinstance(one, BadRow)

    @pytest.mark.parametrize(
        "kind", [pa.string(), pa.int32(), pa.dictionary(pa.int8(), pa.string())]
    )
    def test_lists_of_parquet(self, tmp_path, kind):
        values = pa.array([["7", "12"], [], ["7"]], pa.list_(pa.string())).cast(pa.list_(kind))
        pq.write_table(
            pa.table({"text": ["x", "y", "z"], "labels": values}), tmp_path / "a.parquet"
        )
        rows = read(tmp_path / "a.parquet")
        assert [row.labels for row in rows] == [("12", "7"), (), ("7",)]

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (None, "the labels are missing; an empty list or cell means no label"),
            (5, "expected the labels to be a list, received a number"),
            (["a", None], "expected each label to be a string or an integer, received null"),
            ([True], "expected each label to be a string or an integer, received true or false"),
            (["a", ""], "one of the labels is empty"),
            ("a| |b", "one of the labels is empty"),
        ],
    )
    def test_bad_values(self, tmp_path, value, message):
        records = {"text": "x", "labels": value}, {"text": "y", "labels": []}
        assert reason(write(tmp_path / "a.jsonl", *records)) == message

    def test_labels_that_do_not_fit(self, tmp_path):
        path = write(tmp_path / "a.jsonl", {"text": "x", "label": ["a"]})
        assert reason(path) == (
            f"expected the label to be a string or an integer, received a list; {SEVERAL}"
        )
        path = write(tmp_path / "b.jsonl", {"text": "x", "labels": ["a", "z"]})
        message = "label 'z' was never seen in training; known labels: a, b"
        assert reason(path, known_labels=["b", "a"]) == message

    def test_a_list_written_as_text_is_not_one_label(self, tmp_path):
        path = write(
            tmp_path / "a.jsonl",
            {"text": "x", "label": "['joy', 'love']"},
            {"text": "y", "label": "joy"},
        )
        message = (
            "expected one label, received a list written as text, \"['joy', 'love']\"; for several "
            "labels per text, set corpus.task=multi_label"
        )
        assert reason(path) == message
        of_a_model = reason(path, known_labels=["joy", "love"])
        assert of_a_model.endswith("; the model gives a text exactly one")
        several = read(path, Columns(task="multi_label"))
        assert [row.labels for row in several] == [("joy", "love"), ("joy",)]

    def test_a_model_keeps_a_label_that_looks_like_a_list(self, tmp_path):
        path = write(tmp_path / "a.jsonl", {"text": "x", "label": "['joy']"})
        assert read(path, known_labels=["['joy']", "love"])[0].label == "['joy']"


class TestProbabilities:
    def test_the_most_probable_label(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text("p_b,text,p_a,label\n0.75,x,0.25,ignored\n0.5,y,5e-1,\n1,z,0,a\n")
        rows = read(path, SOFT)
        assert [row.label for row in rows] == ["b", "a", "b"]
        assert [row.probabilities for row in rows] == [(0.25, 0.75), (0.5, 0.5), (0.0, 1.0)]

    def test_the_probable_labels_of_a_multi_label_task(self, tmp_path):
        records = [{"text": "x", "p_b": b, "p_a": a} for a, b in ((0.9, 0.5), (0.1, 0), (1, 1))]
        rows = read(write(tmp_path / "a.jsonl", *records), SOFT_SEVERAL)
        assert [row.labels for row in rows] == [("a", "b"), (), ("a", "b")]
        assert [row.probabilities for row in rows] == [(0.9, 0.5), (0.1, 0.0), (1.0, 1.0)]

    @given(st.lists(st.floats(0, 1), min_size=2, max_size=6).filter(lambda each: sum(each) > 0.1))
    def test_probabilities_are_normalized(self, parts):
        total = sum(parts)
        values = {f"p_{index}": round(part / total, 5) for index, part in enumerate(parts)}
        record = Record(values, Location("f", 1), "")
        found = probabilities(record, "p_", [key[2:] for key in values], "single_label")
        assert not isinstance(found, BadRow)
        assert sum(found) == pytest.approx(1, abs=1e-12)
        assert found == pytest.approx(tuple(values.values()), abs=1e-3)

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ((None, 1), "column 'p_a': the probability is missing"),
            ((1.5, 0), f"{NO_PROBABILITY}, received 1.5"),
            (("nan", 1), f"{NO_PROBABILITY}, received 'nan'"),
            (("0_1", 0), f"{NO_PROBABILITY}, received '0_1'"),
            ((True, 0), f"{NO_PROBABILITY}, received true or false"),
            (([1], 0), f"{NO_PROBABILITY}, received a list"),
            ((0.5, 0.4), f"expected the probabilities to add up to 1, received 0.9; {SEVERAL}"),
            ((0.5, 0.502), f"expected the probabilities to add up to 1, received 1.002; {SEVERAL}"),
        ],
    )
    def test_bad_values(self, tmp_path, values, message):
        records = [{"text": "x", "p_a": values[0], "p_b": values[1]}]
        path = write(tmp_path / "a.jsonl", *records, {"text": "y", "p_a": 1, "p_b": 0})
        assert reason(path, SOFT) == message

    def test_parquet_of_every_width(self, tmp_path):
        for kind in (pa.float16(), pa.float32(), pa.float64()):
            a, b = np.array([[0.25], [0.75]], kind.to_pandas_dtype())
            table = {"text": ["x"], "p_a": pa.array(a), "p_b": pa.array(b)}
            pq.write_table(pa.table(table), tmp_path / "a.parquet")
            (row,) = read(tmp_path / "a.parquet", SOFT)
            assert row.probabilities == (0.25, 0.75)
            assert {type(each) for each in row.probabilities} == {float}

    def test_columns_must_be_those_of_the_known_labels(self, tmp_path):
        path = write(tmp_path / "a.jsonl", {"text": "x", "p_a": 0, "p_b": 1})
        assert read(path, SOFT, known_labels=["b", "a"])[0].probabilities == (0.0, 1.0)
        with pytest.raises(CorpusError, match=r"column 'p_b': label 'b' was never seen"):
            read_rows(path, bad_rows=StopAtBadRows(), columns=SOFT, known_labels=["a", "c"])
        with pytest.raises(CorpusError, match=r"no column 'p_c': .* each of the 3 labels"):
            read_rows(path, bad_rows=StopAtBadRows(), columns=SOFT, known_labels=["a", "b", "c"])

    def test_probabilities_can_be_required(self, tmp_path):
        path = write(tmp_path / "a.jsonl", {"text": "x", "p_a": 0, "label": "a"})
        open_corpus(
            write(tmp_path / "b.jsonl", {"text": "x", "p_a": 0, "p_b": 1}), SOFT
        ).require_probabilities()
        corpus = open_corpus(path, Columns(probability_prefix="q_"))
        with pytest.raises(CorpusError) as caught:
            corpus.require_probabilities()
        assert str(caught.value) == (
            f"{path}: no column of probabilities; the columns are: text, p_a, label. Set "
            "corpus.probability_prefix to what the names of those columns begin with"
        )
