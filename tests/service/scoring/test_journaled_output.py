"""The journaled output: a run resumes at the last intact entry, under the same conditions."""

import json
import os
import tempfile
from pathlib import Path

import pytest
from filelock import lock_descriptor
from hypothesis import given
from hypothesis import strategies as st

from gatewise.service.scoring.chunks import Position
from gatewise.service.scoring.journaled_output import JournaledOutput, ScoringProgress
from gatewise.service.scoring.summary import RowCounts
from gatewise.vocab.errors import OutputError

CONDITIONS = {"the input": [{"file": "in.csv", "bytes": 3}], "the options": {"top_k": None}}
FIRST, SECOND = (ScoringProgress(Position(0, n), RowCounts(scored=n)) for n in (10, 20))


def opened(folder, conditions=CONDITIONS, *, resume=True):
    return JournaledOutput.open(
        str(folder / "out.csv"), folder / ".out.csv.partial", conditions, resume=resume
    )


def interrupted(folder):
    """An output with two committed parts and half of a third."""
    output = opened(folder)
    output.write(b"one\n", b"")
    output.commit(FIRST)
    output.write(b"two\n", b"bad\n")
    output.commit(SECOND)
    output.write(b"thr", b"b")
    return output


def test_data_after_the_last_commit_is_truncated(tmp_path):
    interrupted(tmp_path).close()
    with opened(tmp_path) as output:
        assert output.progress == SECOND
        assert output.resumable
        assert (output.rows.read_bytes(), output.rejected.read_bytes()) == (
            b"one\ntwo\n",
            b"bad\n",
        )
        output.write(b"three\n", b"")
        assert output.rows.read_bytes() == b"one\ntwo\nthree\n"


@pytest.mark.parametrize("removed", [1, 2, 60])
def test_incomplete_entry_of_the_journal_is_ignored(tmp_path, removed):
    interrupted(tmp_path).close()
    journal = tmp_path / ".out.csv.partial" / "journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole[: len(whole) - removed])
    with opened(tmp_path) as output:
        assert output.progress == FIRST
        assert (output.rows.read_bytes(), output.rejected.read_bytes()) == (b"one\n", b"")


@given(chance=st.randoms(use_true_random=False))
def test_damaged_journal_is_never_taken_for_progress(chance):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        interrupted(folder).close()
        journal = folder / ".out.csv.partial" / "journal"
        damaged = bytearray(journal.read_bytes())
        for _ in range(chance.randint(1, 4)):
            digit = chance.choice(b"0123456789")
            place = chance.randrange(len(damaged))
            damaged[place] = digit if chance.random() < 0.5 else chance.randrange(256)
        journal.write_bytes(damaged)
        with opened(folder) as output:
            whole = {ScoringProgress(): b"", FIRST: b"one\n", SECOND: b"one\ntwo\n"}
            assert output.rows.read_bytes() == whole[output.progress]


@pytest.mark.parametrize("line", [b"[]", b"", b"\xff", b"{", b"[" * 100_000])
def test_invalid_journal_is_ignored(tmp_path, line):
    interrupted(tmp_path).close()
    (tmp_path / ".out.csv.partial" / "journal").write_bytes(line + b"\n")
    with opened(tmp_path) as output:
        assert (output.progress, output.resumable) == (ScoringProgress(), False)


@pytest.mark.parametrize("name", ["rows", "rejected"])
def test_truncated_file_resumes_at_an_earlier_entry(tmp_path, name):
    interrupted(tmp_path).close()
    file = tmp_path / ".out.csv.partial" / name
    file.write_bytes(file.read_bytes()[:-5] if name == "rows" else b"")
    with opened(tmp_path) as output:
        assert output.progress == FIRST


def test_missing_file_starts_again(tmp_path):
    interrupted(tmp_path).close()
    (tmp_path / ".out.csv.partial" / "rows").unlink()
    with opened(tmp_path) as output:
        assert output.progress == ScoringProgress()
        assert not output.resumable


def test_nothing_to_go_on_with_is_interrupted(tmp_path):
    with opened(tmp_path) as output:
        assert (output.progress, output.resumable) == (ScoringProgress(), False)


def test_without_resume_the_output_is_started_again(tmp_path):
    interrupted(tmp_path).close()
    with opened(tmp_path, resume=False) as output:
        assert output.progress == ScoringProgress()
        assert output.rows.read_bytes() == b""


def test_changed_conditions_are_refused(tmp_path):
    interrupted(tmp_path).close()
    other = CONDITIONS | {"the input": [{"file": "in.csv", "bytes": 4}]}
    with pytest.raises(
        OutputError, match=r"the input has changed .*expected .*3.* received .*4.* without resuming"
    ):
        opened(tmp_path, other)
    # The earlier run is kept.
    with opened(tmp_path) as output:
        assert output.progress == SECOND


def test_two_runs_cannot_write_one_output(tmp_path):
    output = interrupted(tmp_path)
    for resume in (True, False):
        with pytest.raises(OutputError, match="another run is writing it"):
            opened(tmp_path, resume=resume)
    output.write(b"ee\n", b"")
    output.commit(ScoringProgress(Position(0, 30), RowCounts(scored=30)))
    output.close()
    with opened(tmp_path) as again:
        assert again.progress.counts.scored == 30


def test_folder_is_deleted_unless_the_run_can_be_resumed(tmp_path):
    with interrupted(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="early"), opened(tmp_path):
        raise ValueError("early")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="late"), interrupted(tmp_path):
        raise ValueError("late")
    assert json.loads((tmp_path / ".out.csv.partial/journal").read_text().splitlines()[0])


def test_lock_ends_with_the_run(tmp_path):
    interrupted(tmp_path).close()
    with (tmp_path / ".out.csv.partial" / "journal").open("rb") as journal:
        assert lock_descriptor(journal.fileno(), blocking=False)


def test_link_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "rows").write_text("of something else")
    (tmp_path / ".out.csv.partial").symlink_to(tmp_path / "own")
    with pytest.raises(OutputError, match="is a link: remove it"):
        opened(tmp_path)
    assert (tmp_path / "own" / "rows").read_text() == "of something else"


@pytest.fixture
def late(tmp_path, monkeypatch):
    """A file that a worker adds right before the folder of the output is removed, once."""
    rmdir, file = os.rmdir, tmp_path / ".out.csv.partial" / "late"
    added = []

    def add_a_file_first(path, *arguments, **options):
        if not added:
            file.touch()
            added.append(file)
        rmdir(path, *arguments, **options)

    monkeypatch.setattr(os, "rmdir", add_a_file_first)
    return added


def test_file_that_is_added_while_the_folder_is_deleted_is_deleted_too(tmp_path, late):
    with opened(tmp_path):
        pass
    assert late
    assert not any(tmp_path.iterdir())


def test_run_that_begins_while_the_folder_is_deleted_keeps_its_files(tmp_path, late, monkeypatch):
    runs = []
    monkeypatch.setattr("time.sleep", lambda _: runs.append(interrupted(tmp_path)))
    with opened(tmp_path):
        pass
    assert late
    runs[0].close()
    with opened(tmp_path) as output:
        assert output.progress == SECOND
