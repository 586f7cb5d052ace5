"""What the tests of the benchmarks share: a set that is learnt in a second."""

import csv

import pytest

# Each label has words of its own, and some that both have.
_WORDS = {"warm": ("sun", "beach", "sand"), "cold": ("snow", "ice", "frost")}
_BOTH = ("the", "day", "was", "long")


def _rows(count, offset):
    for number in range(offset, offset + count):
        label = "warm" if number % 3 else "cold"
        own = _WORDS[label][number % 3], _WORDS[label][number // 3 % 3]
        yield f"{_BOTH[number % 4]} {own[0]} {_BOTH[number // 4 % 4]} {own[1]} {number}", label


@pytest.fixture(scope="session")
def weather(tmp_path_factory):
    """A folder with a set called `trec6`, for sets are known by name; it is about the weather."""
    data = tmp_path_factory.mktemp("data")
    (data / "trec6").mkdir()
    for name, count, offset in (("train", 120, 0), ("test", 30, 1000)):
        with (data / "trec6" / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            writer.writerows(_rows(count, offset))
    return data
