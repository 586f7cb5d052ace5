"""Locations, and what is said of a text that is not Unicode."""

import dataclasses

import pytest
from gatewise.vocab.corpus.records import Location, Record, is_unicode, not_unicode_reason


def test_a_location_reads_as_file_and_line() -> None:
    assert str(Location("train.csv", 17)) == "train.csv, line 17"
    assert str(Location("a/part.parquet", 17)) == "a/part.parquet, row 17"
    with pytest.raises(dataclasses.FrozenInstanceError):
        Location("train.csv", 17).line = 3


def test_a_record_that_is_given_up_keeps_its_text() -> None:
    where = Location("train.csv", 2)
    assert Record({"text": "é"}, where, "é,x\r\n").bad("why").content == "é,x"
    assert Record({"text": "é", "n": 1}, where, "").bad("why").content == '{"text": "é", "n": 1}'


def test_only_a_lone_surrogate_is_not_unicode() -> None:
    assert is_unicode("plain")
    assert is_unicode("é 語 😀 \x00")
    assert not is_unicode("é\udcff")


@pytest.mark.parametrize(
    ("cells", "raw", "reason"),
    [
        (
            [("a", "ok"), ("text", "x\udcff")],
            "x\udcff",
            "column 'text' holds the byte 0xff, which is not UTF-8",
        ),
        (
            [("text", "\ud83d")],
            r"\ud83d",
            "column 'text' holds \\ud83d, half of a surrogate pair",
        ),
        ([("text", "fine")], "\udc80", "the row holds the byte 0x80, which is not UTF-8"),
    ],
)
def test_the_stray_byte_or_escape_is_named(cells, raw: str, reason: str) -> None:
    assert not_unicode_reason(cells, raw) == reason
