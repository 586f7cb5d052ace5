"""The two policies for bad rows: stop, or write them to a file and continue."""

import json

import pytest

from gatewise.vocab.corpus.bad_row_policy import BadRowsError, RejectBadRows, StopAtBadRows
from gatewise.vocab.corpus.records import BadRow, Location
from gatewise.vocab.errors import CorpusError, GatewiseError, OutputError


def bad(line, reason="why", file="train.csv"):
    return BadRow(Location(file, line), reason, f"content {line}")


def message(items):
    with pytest.raises(BadRowsError) as caught:
        list(StopAtBadRows().keep(items))
    assert "\n" not in str(caught.value)
    return str(caught.value)


ADVICE = "Fix these rows, or write them to a rejects file"


def test_the_strict_policy_names_bad_rows_with_their_places():
    assert message([1, bad(3, "one"), 2, bad(9, "two"), 3]) == (
        f"train.csv: 2 bad rows: line 3: one; line 9: two. {ADVICE}"
    )
    assert message([bad(3, "one")]) == f"train.csv: 1 bad row: line 3: one. {ADVICE}"
    assert message([bad(3), bad(4, file="b.parquet")]) == (
        f"2 bad rows: train.csv, line 3: why; b.parquet, row 4: why. {ADVICE}"
    )
    assert message(bad(line) for line in range(5, 1_000_000)).startswith(
        "train.csv: the first 3 bad rows: line 5: why; line 6: why; line 7: why. "
    )


def test_the_search_for_more_bad_rows_ends():
    taken = 0

    def items():
        nonlocal taken
        yield bad(2)
        while True:
            taken += 1
            yield taken

    assert message(items()).startswith("train.csv: the first bad row: line 2: why. ")
    assert taken == 100_000


def test_a_damaged_file_does_not_hide_its_bad_rows():
    def items():
        yield bad(2)
        raise CorpusError("damaged")

    assert message(items()).startswith("train.csv: the first bad row: line 2: why. ")


def test_the_strict_policy_yields_good_rows_before_it_stops():
    kept = StopAtBadRows().keep(iter([1, 2, bad(4)]))
    assert [next(kept), next(kept)] == [1, 2]


def test_rejected_rows_are_written_and_the_rest_is_kept(tmp_path):
    path = tmp_path / "rejects.jsonl"
    with RejectBadRows(path) as policy:
        stray = BadRow(Location("b.csv", 7), "é", 'caf\udce9,"\n\u2028')
        assert list(policy.keep([1, bad(3), 2, stray, 3])) == [1, 2, 3]
        assert not path.exists()
    assert policy.count == 2
    lines = path.read_text("utf-8").split("\n")
    assert [json.loads(line) for line in lines[:-1]] == [
        {"file": "train.csv", "line": 3, "reason": "why", "content": "content 3"},
        {"file": "b.csv", "line": 7, "reason": "é", "content": 'caf\udce9,"\n\u2028'},
    ]
    assert lines[-1] == ""
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_run_keeps_its_rejects_and_an_interrupted_one_leaves_nothing(
    tmp_path,
):
    def run(name, end):
        with RejectBadRows(tmp_path / name) as policy:
            list(policy.keep([bad(3)]))
            raise end("why")

    for name, end in (("failed.jsonl", GatewiseError), ("stopped.jsonl", KeyboardInterrupt)):
        with pytest.raises(end):
            run(name, end)
    assert [path.name for path in tmp_path.iterdir()] == ["failed.jsonl"]
    assert json.loads((tmp_path / "failed.jsonl").read_text())["line"] == 3


def test_only_an_earlier_rejects_file_is_replaced(tmp_path):
    path = tmp_path / "rejects.jsonl"
    for rows in ([bad(3)], []):
        with RejectBadRows(path) as policy:
            list(policy.keep(rows))
    assert path.read_bytes() == b""
    with pytest.raises(OutputError, match="there is no folder"):
        RejectBadRows(tmp_path / "none" / "rejects.jsonl").__enter__()
    corpus = tmp_path / "train.jsonl"
    for content in ('{"text": "a", "label": "b"}\n', "text,label\n", "3\n", "\xff"):
        corpus.write_text(content, encoding="latin-1")
        with pytest.raises(OutputError, match="holds something other than rejected rows"):
            RejectBadRows(corpus).__enter__()
        assert corpus.read_text("latin-1") == content
