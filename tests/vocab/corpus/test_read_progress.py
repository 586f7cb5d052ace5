"""Bytes read, whatever is asked when."""

import pytest
from gatewise.vocab.corpus.read_progress import ReadProgress


def test_a_meter_adds_up_what_it_follows() -> None:
    meter, positions = ReadProgress(), [0]
    assert meter.done == 0
    with meter.following(lambda: positions[0]):
        positions[0] = 7
        assert meter.done == 7
    positions[0] = 99
    assert meter.done == 7
    with meter.following(lambda: 5):
        assert meter.done == 12
    assert meter.done == 12


def test_a_reading_that_ends_in_an_error_counts_as_well() -> None:
    meter = ReadProgress()
    with pytest.raises(ValueError, match="x"), meter.following(lambda: 5):
        raise ValueError("x")
    assert meter.done == 5
