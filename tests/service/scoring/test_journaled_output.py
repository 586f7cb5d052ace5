"""An output on its way: only what is whole counts, and only what was given then goes on."""

import json
import random
import tempfile
from pathlib import Path

import pytest
from filelock import lock_descriptor
from gatewise.service.scoring.chunks import Position
from gatewise.service.scoring.journaled_output import JournaledOutput, Progress
from gatewise.service.scoring.summary import RowCounts
from gatewise.vocab.errors import OutputError
from hypothesis import given
from hypothesis import strategies as st

GIVEN = {"the input": [{"file": "in.csv", "bytes": 3}], "what is asked for": {"top_k": None}}
FIRST, SECOND = (Progress(Position(0, n), RowCounts(scored=n)) for n in (10, 20))


def opened(folder: Path, given=GIVEN, *, resume: bool = True) -> JournaledOutput:
    return JournaledOutput.open(
        str(folder / "out.csv"), folder / ".out.csv.partial", given, resume=resume
    )


def begun(folder: Path) -> JournaledOutput:
    """Two parts are whole, a third is half written."""
    staging = opened(folder)
    staging.write(b"one\n", b"")
    staging.commit(FIRST)
    staging.write(b"two\n", b"bad\n")
    staging.commit(SECOND)
    staging.write(b"thr", b"b")
    return staging


def test_what_was_written_after_the_last_commit_is_cut_off(tmp_path: Path) -> None:
    begun(tmp_path).close()
    with opened(tmp_path) as staging:
        assert staging.progress == SECOND
        assert staging.kept
        assert (staging.rows.read_bytes(), staging.rejected.read_bytes()) == (
            b"one\ntwo\n",
            b"bad\n",
        )
        staging.write(b"three\n", b"")
        assert staging.rows.read_bytes() == b"one\ntwo\nthree\n"


@pytest.mark.parametrize("left", range(60))
def test_half_a_line_of_the_journal_counts_as_none(tmp_path: Path, left: int) -> None:
    begun(tmp_path).close()
    journal = tmp_path / ".out.csv.partial" / "journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole[: len(whole) - 1 - left])
    with opened(tmp_path) as staging:
        assert staging.progress == FIRST
        assert (staging.rows.read_bytes(), staging.rejected.read_bytes()) == (b"one\n", b"")


@given(chance=st.randoms(use_true_random=False))
def test_no_damage_to_the_journal_is_taken_for_progress(chance: random.Random) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begun(folder).close()
        journal = folder / ".out.csv.partial" / "journal"
        damaged = bytearray(journal.read_bytes())
        for _ in range(chance.randint(1, 4)):
            digit = chance.choice(b"0123456789")
            place = chance.randrange(len(damaged))
            damaged[place] = digit if chance.random() < 0.5 else chance.randrange(256)
        journal.write_bytes(damaged)
        with opened(folder) as staging:
            whole = {Progress(): b"", FIRST: b"one\n", SECOND: b"one\ntwo\n"}
            assert staging.rows.read_bytes() == whole[staging.progress]


@pytest.mark.parametrize("line", [b"[]", b"3", b"null", b'"x"', b"", b"\xff", b"[" * 100_000])
def test_a_journal_of_something_else_is_none(tmp_path: Path, line: bytes) -> None:
    begun(tmp_path).close()
    (tmp_path / ".out.csv.partial" / "journal").write_bytes(line + b"\n")
    with opened(tmp_path) as staging:
        assert (staging.progress, staging.kept) == (Progress(), False)


@pytest.mark.parametrize(("name", "progress"), [("rows", FIRST), ("rejected", FIRST)])
def test_files_that_lost_their_end_take_the_journal_back(
    tmp_path: Path, name: str, progress: Progress
) -> None:
    begun(tmp_path).close()
    file = tmp_path / ".out.csv.partial" / name
    file.write_bytes(file.read_bytes()[:-5] if name == "rows" else b"")
    with opened(tmp_path) as staging:
        assert staging.progress == progress


def test_files_that_are_gone_are_begun_anew(tmp_path: Path) -> None:
    begun(tmp_path).close()
    (tmp_path / ".out.csv.partial" / "rows").unlink()
    with opened(tmp_path) as staging:
        assert staging.progress == Progress()
        assert not staging.kept


def test_nothing_to_go_on_with_is_begun(tmp_path: Path) -> None:
    with opened(tmp_path) as staging:
        assert (staging.progress, staging.kept) == (Progress(), False)


@pytest.mark.parametrize("journal", [b"", b"{", b"\xff\n", b"nonsense\n"])
def test_a_journal_without_a_beginning_is_begun_anew(tmp_path: Path, journal: bytes) -> None:
    begun(tmp_path).close()
    (tmp_path / ".out.csv.partial" / "journal").write_bytes(journal)
    with opened(tmp_path) as staging:
        assert staging.progress == Progress()


def test_without_resume_all_is_begun_anew(tmp_path: Path) -> None:
    begun(tmp_path).close()
    with opened(tmp_path, resume=False) as staging:
        assert staging.progress == Progress()
        assert staging.rows.read_bytes() == b""


def test_what_is_given_must_be_what_was_given(tmp_path: Path) -> None:
    begun(tmp_path).close()
    other = GIVEN | {"the input": [{"file": "in.csv", "bytes": 4}]}
    with pytest.raises(
        OutputError, match=r"the input has changed .*expected .*3.* received .*4.* without resuming"
    ):
        opened(tmp_path, other)
    # And nothing is lost by it.
    with opened(tmp_path) as staging:
        assert staging.progress == SECOND


def test_two_runs_cannot_write_one_output(tmp_path: Path) -> None:
    staging = begun(tmp_path)
    for resume in (True, False):
        with pytest.raises(OutputError, match="another run is writing it"):
            opened(tmp_path, resume=resume)
    staging.write(b"ee\n", b"")
    staging.commit(Progress(Position(0, 30), RowCounts(scored=30)))
    staging.close()
    with opened(tmp_path) as again:
        assert again.progress.counts.scored == 30


def test_a_run_that_ends_takes_everything_away(tmp_path: Path) -> None:
    with begun(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="early"), opened(tmp_path):
        raise ValueError("early")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="late"), begun(tmp_path):
        raise ValueError("late")
    assert json.loads((tmp_path / ".out.csv.partial/journal").read_text().splitlines()[0])


def test_the_lock_ends_with_the_run(tmp_path: Path) -> None:
    begun(tmp_path).close()
    with (tmp_path / ".out.csv.partial" / "journal").open("rb") as journal:
        assert lock_descriptor(journal.fileno(), blocking=False)


def test_a_link_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "rows").write_text("of something else")
    (tmp_path / ".out.csv.partial").symlink_to(tmp_path / "own")
    with pytest.raises(OutputError, match="is a link; it has to go first"):
        opened(tmp_path)
    assert (tmp_path / "own" / "rows").read_text() == "of something else"
