"""Locations, bad rows of records, and texts that are not Unicode."""

import dataclasses

import pytest

from gatewise.vocab.corpus.records import Location, Record, is_unicode


def test_a_location_reads_as_file_and_line() -> None:
    assert str(Location("train.csv", 17)) == "train.csv, line 17"
    assert str(Location("a/part.parquet", 17)) == "a/part.parquet, row 17"
    with pytest.raises(dataclasses.FrozenInstanceError):
        Location("train.csv", 17).line = 3


def test_a_bad_row_has_the_text_of_its_record() -> None:
    where = Location("train.csv", 2)
    assert Record({"text": "é"}, where, "é,x\r\n").bad("why").content == "é,x"
    assert Record({"text": "é", "n": 1}, where, "").bad("why").content == '{"text": "é", "n": 1}'


def test_only_a_lone_surrogate_is_not_unicode() -> None:
    assert is_unicode("plain")
    assert is_unicode("é 語 😀 \x00")
    assert not is_unicode("é\udcff")
