"""Full disks, truncated inputs, deleted folders: one line of error, and no work is lost."""

import gzip
import json
import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from gatewise.service.model.classifier import Classifier
from gatewise.service.scoring import score_file as run
from gatewise.service.scoring.destination import Destination
from gatewise.service.scoring.options import ScoringOptions
from gatewise.service.scoring.score_file import InterruptedRunError, Parallelism, score, score_file
from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.errors import GatewiseError, OutputError

# The command, with another interval between commits.
SCRIPT = """
import gatewise.service.scoring.score_file
gatewise.service.scoring.score_file._COMMIT_SECONDS = {seconds}
from gatewise.cli import main
main()
"""
WORDS = "Wo ist der Bahnhof where is the station où est la gare 駅はどこ".split()  # noqa: SIM905
ROWS = 20_000
KEPT = "The rows scored so far are kept: fix this and resume the run"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of several chunks."""
    chance = random.Random(1)
    path = tmp_path_factory.mktemp("input") / "in.csv"
    rows = (f"{number},{' '.join(chance.choices(WORDS, k=5))}" for number in range(ROWS))
    path.write_text("\n".join(["id,text", *rows, ""]), encoding="utf-8")
    return path


@pytest.fixture
def score_command(model_folder: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs `gatewise score` with limited file sizes; by default it commits every chunk."""

    def run(
        *arguments: object,
        max_bytes: int | None = None,
        before: Sequence[str] = (),
        seconds: float = 0,
        **options,
    ) -> "subprocess.CompletedProcess[str]":
        def limit() -> None:
            # Python ignores SIGXFSZ, so that a write fails as it does on a full disk.
            if max_bytes is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, max_bytes))

        script = SCRIPT.format(seconds=seconds)
        given = [*before, sys.executable, "-c", script, "score", model_folder, *arguments]
        return subprocess.run(
            list(map(str, given)),
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=limit,
            check=False,
            **options,
        )

    return run


def refused(ended: "subprocess.CompletedProcess[str]") -> str:
    """The error of a failed command: one line, without the name of the program."""
    assert ended.returncode == 1, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("gatewise: error: ")
    return line.removeprefix("gatewise: error: ")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("name", "max_bytes"), [("out.csv", 600_000), ("out.parquet", 900_000)])
def test_full_disk_keeps_the_scored_rows(
    score_command, source: Path, tmp_path: Path, name: str, max_bytes: int
) -> None:
    out, whole = tmp_path / name, tmp_path / "whole"
    out.write_text("former")
    said = refused(score_command(source, "--out", out, max_bytes=max_bytes))
    assert said == f"{out}: cannot be written: File too large. {KEPT} (--resume)"
    assert out.read_text() == "former"
    whole.mkdir()
    assert score_command(source, "--out", whole / name).returncode == 0
    done = score_command(source, "--out", out, "--resume")
    assert done.returncode == 0, done.stderr
    assert "by an earlier run" in done.stdout
    assert out.read_bytes() == (whole / name).read_bytes()
    assert names(tmp_path) == sorted([name, "whole"])


def test_disk_that_is_full_at_once_leaves_nothing_behind(
    score_command, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    out.write_text("former")
    said = refused(score_command(source, "--out", out, max_bytes=10))
    assert said == f"{out}: cannot be written: File too large"
    assert names(tmp_path) == ["out.csv"]
    assert out.read_text() == "former"


def test_rejected_rows_are_complete_on_a_full_disk(score_command, tmp_path: Path) -> None:
    source, out, rejects = (tmp_path / name for name in ("in.csv", "out.csv", "bad.jsonl"))
    source.write_text("text,id\nwo ist der Bahnhof,1\n" + "no id\n" * ROWS)
    options = {"max_bytes": 1_500_000, "seconds": 1000}
    said = refused(score_command(source, "--out", out, "--rejects", rejects, **options))
    assert said == f"{out}: cannot be written: File too large"
    assert not out.exists()
    told = rejects.read_text().splitlines()
    assert 0 < len(told) < ROWS
    assert all(json.loads(line)["content"] == "no id" for line in told)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(("form", "rows"), [("csv", 1), ("jsonl.gz", ROWS)])
def test_standard_output_on_a_full_disk(
    score_command, source: Path, tmp_path: Path, form: str, rows: int
) -> None:
    some = tmp_path / "some.csv"
    with source.open(encoding="utf-8") as file:
        some.write_text("".join(line for line, _ in zip(file, range(rows + 1), strict=False)))
    with Path("/dev/full").open("w") as full:
        ended = score_command(some, "--out", "-", "--output-format", form, stdout=full)
    assert refused(ended) == "No space left on device"


# Runs its other arguments in a mount namespace, on a disk of a number of kilobytes.
SMALL_DISK = 'mount -t tmpfs -o size="$0"k tmpfs "$1" && shift && exec "$@"'


def on_small_disk(kilobytes: int, folder: Path) -> list[str]:
    """A command prefix that mounts a small disk on a folder, for one process."""
    before = ["unshare", "-Urm", "sh", "-c", SMALL_DISK, str(kilobytes), str(folder)]
    if shutil.which("unshare") is None or subprocess.run([*before, "true"], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    return before


def test_disk_without_room_for_the_assembled_parquet(
    score_command, source: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    # The parts fit, but not together with the assembled file.
    before = on_small_disk(1250, disk)
    command = (
        f'"$@" 2> {tmp_path}/said; code=$?; ls -A {disk}/.out.parquet.partial > {tmp_path}/left; '
        f"mount -o remount,size=100m {disk} && "
        f'"$@" --resume && cp {disk}/out.parquet {tmp_path}; exit $code'
    )
    ended = score_command(
        source, "--out", disk / "out.parquet", before=[*before, "sh", "-c", command, "sh"]
    )
    assert ended.returncode == 1
    said = (tmp_path / "said").read_text()
    (line,) = said.splitlines()
    assert line.startswith(f"gatewise: error: {disk}/out.parquet: cannot be written: ")
    assert line.endswith(f"No space left on device. {KEPT} (--resume)")
    assert (tmp_path / "left").read_text().split() == ["journal", "rejected", "rows"]
    assert f"{ROWS:,} by an earlier run" in ended.stdout
    score_command(source, "--out", tmp_path / "whole.parquet")
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def without_privileges() -> list[str]:
    """A command prefix that drops the privileges of root."""
    if os.geteuid():
        return []
    alone = ["unshare", "-U"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], check=False).returncode:
        pytest.skip("root may read and write everything")
    return alone


def test_unreadable_input(score_command, source: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "in.csv", tmp_path / "out.csv"
    shutil.copyfile(source, path)
    path.chmod(0)
    out.write_text("former")
    said = refused(score_command(path, "--out", out, before=without_privileges()))
    assert said.startswith(f"{path}: cannot be read: ")
    assert "Permission denied" in said
    assert names(tmp_path) == ["in.csv", "out.csv"]
    assert out.read_text() == "former"


def test_truncated_compressed_input(score_command, source: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out.csv"
    folder.mkdir()
    shutil.copyfile(source, folder / "a.csv")
    whole = gzip.compress(source.read_bytes())
    (folder / "b.csv.gz").write_bytes(whole[: len(whole) // 2])
    out.write_text("former")
    said = refused(score_command(folder, "--out", out))
    assert (
        said == f"{folder}/b.csv.gz: cannot be read: Truncated compressed stream. {KEPT} (--resume)"
    )
    assert out.read_text() == "former"
    # The input is another one now, so the run cannot resume.
    (folder / "b.csv.gz").write_bytes(whole)
    said = refused(score_command(folder, "--out", out, "--resume"))
    assert "cannot resume: the input has changed" in said
    assert score_command(folder, "--out", out).returncode == 0


class Step:
    """Does something in the middle of a run, once."""

    def __init__(self, action: Callable[[], object], rows: int = ROWS // 2) -> None:
        self._action, self._rows = action, rows
        self._done = False

    def __call__(self, counts, _) -> None:
        if counts.rows >= self._rows and not self._done:
            self._done = True
            self._action()


@pytest.fixture
def committing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commit after every chunk."""
    monkeypatch.setattr(run, "_COMMIT_SECONDS", 0)


def failing(
    classifier: Classifier, source: Path, out: Path, action: Callable[[], object], **options
) -> GatewiseError:
    """The error of a run in the middle of which an action takes place."""
    step = Step(action)
    with pytest.raises(GatewiseError) as error:
        score_file(
            classifier, source, out, parallelism=Parallelism(2, 512), on_progress=step, **options
        )
    assert "\n" not in str(error.value)
    return error.value


@pytest.mark.usefixtures("committing")
@pytest.mark.parametrize("whole_folder", [True, False])
def test_deleted_output_folder(
    classifier: Classifier, source: Path, tmp_path: Path, whole_folder: bool
) -> None:
    folder, rejects = tmp_path / "out", tmp_path / "bad.jsonl"
    folder.mkdir()
    out, partial = folder / "out.csv", folder / ".out.csv.partial"
    deleted = folder if whole_folder else partial
    seen = []

    def delete() -> None:
        shutil.rmtree(deleted)
        seen.append(deleted)

    error = failing(classifier, source, out, delete, rejects=rejects)
    # The run cannot resume, and the message does not say so.
    assert not isinstance(error, InterruptedRunError)
    assert str(error) == f"{out}: cannot be written: {partial} was deleted"
    assert seen == [deleted]
    assert not rejects.exists()
    assert not partial.exists()


@pytest.mark.usefixtures("committing")
def test_output_folder_deleted_at_the_end(
    classifier: Classifier, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    last = Step(lambda: shutil.rmtree(tmp_path / ".out.csv.partial"), ROWS)
    with pytest.raises(OutputError, match=r"was deleted$"):
        score_file(classifier, source, out, parallelism=Parallelism(2, 512), on_progress=last)
    assert names(tmp_path) == []


@pytest.mark.usefixtures("committing")
def test_deleted_folder_of_the_rejects_file(
    classifier: Classifier, source: Path, tmp_path: Path
) -> None:
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


@pytest.mark.usefixtures("committing")
def test_input_deleted_during_the_run(classifier: Classifier, source: Path, tmp_path: Path) -> None:
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


def test_two_errors_are_both_reported(
    classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, folder = tmp_path / "in.csv", tmp_path / "bad"
    folder.mkdir()
    source.write_text("text,id\n" + "no id\n" * 10)
    on_progress = Step(folder.rmdir, 1)
    with pytest.raises(OutputError, match=r"holds no rows that can be used; and .*no folder"):
        score_file(
            classifier,
            source,
            tmp_path / "out.csv",
            rejects=folder / "bad.jsonl",
            on_progress=on_progress,
        )
    assert names(tmp_path) == ["in.csv"]
