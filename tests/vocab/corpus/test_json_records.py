"""JSON Lines: round trips, columns of the first records, and bad rows."""

import json
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewise.vocab.corpus import json_records
from gatewise.vocab.corpus.data_files import DataFile
from gatewise.vocab.corpus.json_records import columns_of, records_of
from gatewise.vocab.corpus.records import BadRow
from gatewise.vocab.errors import CorpusError


def read(path):
    good, bad = [], []
    for item in records_of(DataFile.named(path)):
        if isinstance(item, BadRow):
            bad.append((item.location.line, item.reason))
        else:
            good.append((item.location.line, item.values))
    return good, bad


@pytest.fixture
def data(tmp_path):
    def write(*lines):
        path = tmp_path / "a.jsonl"
        encoded = [line if isinstance(line, bytes) else line.encode() for line in lines]
        path.write_bytes(b"\n".join(encoded))
        return path

    return write


TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=60)
@given(
    records=st.lists(st.dictionaries(TEXT, VALUE, max_size=4), max_size=6), escaped=st.booleans()
)
def test_json_is_read_as_it_was_written(records, escaped):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.jsonl")
        lines = [json.dumps(record, ensure_ascii=escaped) + "\n" for record in records]
        path.write_text("".join(lines), encoding="utf-8", newline="\n")
        good, bad = read(path)
    assert good == list(enumerate(records, start=1))
    assert bad == []


def test_columns_are_the_keys_of_the_first_records(data, monkeypatch):
    path = data('{"b": 1}', "no json", '{"a": 1, "b": 2}', *['{"c": 1}'] * 98, '{"late": 1}')
    assert columns_of(DataFile.named(path)) == ("b", "a", "c")
    assert columns_of(DataFile.named(data("no json"))) == ()
    monkeypatch.setattr(json_records, "_CHARACTERS_AHEAD", 10)
    assert columns_of(DataFile.named(data('{"a": "long enough"}', '{"b": 1}'))) == ("a",)


def test_unusable_files_are_refused(data, monkeypatch):
    assert columns_of(DataFile.named(data("", " ", "\r", ""))) == ()
    monkeypatch.setattr("gatewise.vocab.corpus.data_files.LINE_LIMIT", 100)
    monkeypatch.setattr(json_records, "LINE_LIMIT", 100)
    with pytest.raises(CorpusError, match=r"a\.jsonl, line 2: longer than"):
        read(data('{"a": 1}', "x" * 200))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": "x"', "invalid JSON at character 14: expecting ',' delimiter"),
        ('[{"text": "x"},', "expected one object per line, not one list over many lines"),
        ('["x"]', "expected a JSON object, received a list"),
        ("null", "expected a JSON object, received null"),
        ('{"text": NaN}', "invalid JSON: NaN is not JSON"),
        ('{"text": 1e999}', "the number 1e999 is beyond the range of a double"),
        ('{"text": ' + "1" * 5000 + "}", "invalid JSON: Exceeds the limit"),
        ("[" * 100_000, "invalid JSON|nested too deeply"),
        ('{"a":' * 100_000, "the JSON is nested too deeply"),
        (b'{"text": "\xff"}', "column 'text' holds the byte 0xff, which is not UTF-8"),
        (b'{"\xff": "b"}', "the column name '\\\\udcff' holds the byte 0xff"),
        (r'{"text": "\ud800"}', r"column 'text' holds \\ud800, half of a surrogate pair"),
        (r'{"a": {"b": ["\udcff"]}}', r"column 'a' holds \\udcff, half of a surrogate pair"),
    ],
)
def test_bad_rows_are_reported_and_skipped(data, line, reason):
    good, bad = read(data('{"text": "a"}', "", line, r'{"text": "\ud83d\ude00"}'))
    assert good == [(1, {"text": "a"}), (4, {"text": "😀"})]
    [(number, said)] = bad
    assert number == 3
    assert re.search(reason, said)
    assert "\n" not in said
