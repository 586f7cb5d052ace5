import numpy as np
import pytest

from gatewise.training.data.stored_rows import store
from gatewise.vocab.corpus.corpus_reader import Row
from gatewise.vocab.corpus.records import Location


def row(number, **changes):
    values = {
        "text": f"text {number} \u0000 ☃ 𝕏",
        "labels": ("a", "b")[: number % 3],
        "location": Location("folder/file.csv", number + 2),
    }
    return Row(**{**values, **changes})


@pytest.fixture(scope="module")
def rows():
    return [row(number) for number in range(10_000)]


@pytest.fixture(scope="module")
def stored(rows, tmp_path_factory):
    return store(iter(rows), tmp_path_factory.mktemp("rows") / "rows.arrow")


def test_rows_come_back_as_they_were(rows, stored):
    assert len(stored) == len(rows)
    assert list(stored) == rows
    assert [text for texts in stored.texts() for text in texts] == [row.text for row in rows]


def test_probabilities_come_back_as_they_were(tmp_path):
    rows = [row(1, probabilities=(0.1, 1 / 3)), row(2, probabilities=None)]
    assert list(store(rows, tmp_path / "rows.arrow")) == rows


def test_some_rows_can_be_left_out_or_taken_by_number(rows, stored):
    numbers = np.arange(len(rows))
    even = stored.only(numbers % 2 == 0)
    assert list(even) == rows[::2]
    assert list(even.only(np.arange(len(even)) % 2 == 0)) == rows[::4]
    assert list(stored.only(numbers < 0)) == []
    assert even.at([3, 4_999]) == [rows[6], rows[9_998]]
    some = [9_999, 0, 4_096, 17, 17]
    assert stored.at(some) == [rows[number] for number in some]
    assert stored.at([]) == []
