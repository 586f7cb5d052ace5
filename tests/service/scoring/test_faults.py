"""Full disks, truncated inputs, deleted folders: one line of error, and no work is lost."""

import gzip
import json
import random
import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest

from gatewise.service.scoring import score_file as run
from gatewise.service.scoring.destination import Destination
from gatewise.service.scoring.options import ScoringOptions
from gatewise.service.scoring.score_file import InterruptedRunError, Parallelism, score, score_file
from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.errors import GatewiseError, OutputError

WORDS = "Wo ist der Bahnhof where is the station où est la gare 駅はどこ".split()  # noqa: SIM905
ROWS = 20_000
KEPT = "The rows scored so far are kept: fix this and resume the run"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A file of several chunks."""
    chance = random.Random(1)
    path = tmp_path_factory.mktemp("input") / "in.csv"
    rows = (f"{number},{' '.join(chance.choices(WORDS, k=5))}" for number in range(ROWS))
    path.write_text("\n".join(["id,text", *rows, ""]), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def committing(monkeypatch):
    """Commit after every chunk."""
    monkeypatch.setattr(run, "_COMMIT_SECONDS", 0)


@contextmanager
def full_disk(max_bytes):
    """Files may not grow larger: Python ignores SIGXFSZ, so a write fails as on a full disk."""
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("name", "max_bytes"), [("out.csv", 600_000), ("out.parquet", 900_000)])
def test_full_disk_keeps_the_scored_rows(
    gatewise, refused, model_folder, source, tmp_path, name, max_bytes
):
    out, whole = tmp_path / name, tmp_path / "whole"
    out.write_text("former")
    with full_disk(max_bytes):
        error = refused("score", model_folder, source, "--out", out)
    assert error == f"{out}: cannot be written: File too large. {KEPT} (--resume)"
    assert out.read_text() == "former"
    whole.mkdir()
    assert gatewise("score", model_folder, source, "--out", whole / name).code == 0
    done = gatewise("score", model_folder, source, "--out", out, "--resume")
    assert done.code == 0, done.stderr
    assert "by an earlier run" in done.stdout
    assert out.read_bytes() == (whole / name).read_bytes()
    assert names(tmp_path) == sorted([name, "whole"])


def test_disk_that_is_full_at_once_leaves_nothing_behind(refused, model_folder, source, tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("former")
    with full_disk(10):
        error = refused("score", model_folder, source, "--out", out)
    assert error == f"{out}: cannot be written: File too large"
    assert names(tmp_path) == ["out.csv"]
    assert out.read_text() == "former"


def test_rejected_rows_are_complete_on_a_full_disk(refused, model_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "_COMMIT_SECONDS", 1000)
    source, out, rejects = (tmp_path / name for name in ("in.csv", "out.csv", "bad.jsonl"))
    source.write_text("text,id\nwo ist der Bahnhof,1\n" + "no id\n" * ROWS)
    with full_disk(1_500_000):
        error = refused("score", model_folder, source, "--out", out, "--rejects", rejects)
    assert error == f"{out}: cannot be written: File too large"
    assert not out.exists()
    rows = rejects.read_text().splitlines()
    assert 0 < len(rows) < ROWS
    assert all(json.loads(row)["content"] == "no id" for row in rows)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(("form", "rows"), [("csv", 1), ("jsonl.gz", ROWS)])
def test_standard_output_on_a_full_disk(model_folder, source, tmp_path, form, rows):
    some = tmp_path / "some.csv"
    with source.open(encoding="utf-8") as file:
        some.write_text("".join(islice(file, rows + 1)))
    shell = f"{sys.executable} -m gatewise score {model_folder} {some} --out - --output-format"
    ended = subprocess.run(
        ["sh", "-c", f"{shell} {form} >/dev/full"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr == "gatewise: error: No space left on device\n"


# Runs its other arguments in a mount namespace, on a disk of a number of kilobytes.
SMALL_DISK = 'mount -t tmpfs -o size="$0"k tmpfs "$1" && shift && exec "$@"'


def on_small_disk(kilobytes, folder):
    """A command prefix that mounts a small disk on a folder, for one process."""
    before = ["unshare", "-Urm", "sh", "-c", SMALL_DISK, str(kilobytes), str(folder)]
    if shutil.which("unshare") is None or subprocess.run([*before, "true"], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    return before


def test_disk_without_room_for_the_assembled_parquet(gatewise, model_folder, source, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    script = "from gatewise.service.scoring import score_file as run; run._COMMIT_SECONDS = 0\n"
    script += "from gatewise.cli import main; main()"
    score = [sys.executable, "-c", script, "score", model_folder, source, "--out"]
    # The parts fit, but not together with the assembled file.
    command = (
        f'"$@" 2> {tmp_path}/error; code=$?; ls -A {disk}/.out.parquet.partial > {tmp_path}/left; '
        f"mount -o remount,size=100m {disk} && "
        f'"$@" --resume && cp {disk}/out.parquet {tmp_path}; exit $code'
    )
    ended = subprocess.run(
        [*on_small_disk(1250, disk), "sh", "-c", command, "sh", *score, disk / "out.parquet"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    (line,) = (tmp_path / "error").read_text().splitlines()
    assert line.startswith(f"gatewise: error: {disk}/out.parquet: cannot be written: ")
    assert line.endswith(f"No space left on device. {KEPT} (--resume)")
    assert (tmp_path / "left").read_text().split() == ["journal", "rejected", "rows"]
    assert f"{ROWS:,} by an earlier run" in ended.stdout
    gatewise("score", model_folder, source, "--out", tmp_path / "whole.parquet")
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_truncated_compressed_input(gatewise, refused, model_folder, source, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out.csv"
    folder.mkdir()
    shutil.copyfile(source, folder / "a.csv")
    # More than is read to find out the delimiter and the encoding, which comes first.
    rows = source.read_bytes()
    whole = gzip.compress(rows * (2**20 // len(rows)), compresslevel=0)
    (folder / "b.csv.gz").write_bytes(whole[: len(whole) // 2])
    out.write_text("former")
    score = ("score", model_folder, folder, "--out", out)
    reason = "cannot be read: Truncated compressed stream"
    assert refused(*score) == f"{folder}/b.csv.gz: {reason}. {KEPT} (--resume)"
    assert out.read_text() == "former"
    # The input is another one now, so the run cannot resume.
    (folder / "b.csv.gz").write_bytes(whole)
    assert "cannot resume: the input has changed" in refused(*score, "--resume")
    assert gatewise(*score).code == 0


class Step:
    """Does something in the middle of a run, once."""

    def __init__(self, action, rows=ROWS // 2):
        self._action, self._rows = action, rows
        self._done = False

    def __call__(self, counts, _):
        if counts.rows >= self._rows and not self._done:
            self._done = True
            self._action()


def failing(classifier, source, out, action, **options):
    """The error of a run in the middle of which an action takes place."""
    step = Step(action)
    with pytest.raises(GatewiseError) as error:
        score_file(
            classifier, source, out, parallelism=Parallelism(2, 512), on_progress=step, **options
        )
    assert "\n" not in str(error.value)
    return error.value


@pytest.mark.parametrize("whole_folder", [True, False])
def test_deleted_output_folder(classifier, source, tmp_path, whole_folder):
    folder, rejects = tmp_path / "out", tmp_path / "bad.jsonl"
    folder.mkdir()
    out, partial = folder / "out.csv", folder / ".out.csv.partial"
    deleted = folder if whole_folder else partial
    seen = []

    def delete():
        shutil.rmtree(deleted)
        seen.append(deleted)

    error = failing(classifier, source, out, delete, rejects=rejects)
    # The run cannot resume, and the message does not say so.
    assert not isinstance(error, InterruptedRunError)
    assert str(error) == f"{out}: cannot be written: {partial} was deleted"
    assert seen == [deleted]
    assert not rejects.exists()
    assert not partial.exists()


def test_output_folder_deleted_at_the_end(classifier, source, tmp_path):
    out = tmp_path / "out.csv"
    last = Step(lambda: shutil.rmtree(tmp_path / ".out.csv.partial"), ROWS)
    with pytest.raises(OutputError, match=r"was deleted$"):
        score_file(classifier, source, out, parallelism=Parallelism(2, 512), on_progress=last)
    assert names(tmp_path) == []


def test_deleted_folder_of_the_rejects_file(classifier, source, tmp_path):
    out, folder = tmp_path / "out.csv", tmp_path / "bad"
    folder.mkdir()
    rejects = folder / "bad.jsonl"
    error = failing(classifier, source, out, folder.rmdir, rejects=rejects)
    assert isinstance(error, InterruptedRunError)
    assert str(error) == f"{rejects}: cannot be written: there is no folder {folder}. {KEPT}"
    folder.mkdir()
    done = score_file(
        classifier, source, out, rejects=rejects, resume=True, parallelism=Parallelism(2, 512)
    )
    assert (done.resumed, done.scored) == (ROWS, ROWS)
    assert rejects.read_bytes() == b""


def test_input_deleted_during_the_run(classifier, source, tmp_path):
    folder, aside, out = tmp_path / "in", tmp_path / "aside.csv", tmp_path / "out.csv"
    folder.mkdir()
    for name in ("a.csv", "b.csv"):
        shutil.copyfile(source, folder / name)
    out.write_text("former")
    records = open_records(folder)
    destination = Destination.named(out)
    (folder / "b.csv").rename(aside)
    with pytest.raises(
        InterruptedRunError, match=r"/b\.csv: cannot be read: .*No such file"
    ) as error:
        score(classifier, records, destination, ScoringOptions(), parallelism=Parallelism(2, 512))
    assert str(error.value).endswith(KEPT)
    assert out.read_text() == "former"
    aside.rename(folder / "b.csv")
    done = score_file(classifier, folder, out, resume=True, parallelism=Parallelism(2, 512))
    # Chunks that were being scored when the next one could not be read are read again.
    assert ROWS // 2 < done.resumed <= ROWS
    assert done.scored == 2 * ROWS


def test_two_errors_are_both_reported(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "_COMMIT_SECONDS", 1000)
    source, folder = tmp_path / "in.csv", tmp_path / "bad"
    folder.mkdir()
    source.write_text("text,id\n" + "no id\n" * 10)

    def spoil():
        folder.rmdir()
        source.write_text("text,id\n")

    on_progress = Step(spoil, 1)
    with pytest.raises(OutputError, match=r"was changed while it was read.*; and .*no folder"):
        score_file(
            classifier,
            source,
            tmp_path / "out.csv",
            rejects=folder / "bad.jsonl",
            on_progress=on_progress,
        )
    assert names(tmp_path) == ["in.csv"]
