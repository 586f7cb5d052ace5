"""Bytes read, whatever is asked when."""

import pytest

from gatewise.vocab.corpus.read_progress import ReadProgress


def test_a_meter_adds_up_what_it_follows() -> None:
    progress, positions = ReadProgress(), [0]
    assert progress.done == 0
    with progress.following(lambda: positions[0]):
        positions[0] = 7
        assert progress.done == 7
    positions[0] = 99
    assert progress.done == 7
    with progress.following(lambda: 5):
        assert progress.done == 12
    assert progress.done == 12


def test_a_reading_that_ends_in_an_error_counts_as_well() -> None:
    progress = ReadProgress()
    with pytest.raises(ValueError, match="x"), progress.following(lambda: 5):
        raise ValueError("x")
    assert progress.done == 5
