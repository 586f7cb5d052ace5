"""Interrupted runs: a resumed run writes the same bytes as an uninterrupted one."""

import json
import random
import signal
import subprocess
import sys
import time

import pytest

from gatewise.service.scoring import score_file as run
from gatewise.service.scoring.options import ScoringOptions
from gatewise.service.scoring.score_file import InterruptedRunError, Parallelism, score_file
from gatewise.vocab.corpus.bad_row_policy import BadRowsError
from gatewise.vocab.errors import OutputError

# A process that commits after every chunk.
SCRIPT = """
import sys
from gatewise.service.model.classifier import Classifier
from gatewise.service.scoring import score_file as run
from gatewise.service.scoring.score_file import Parallelism, score_file
run._COMMIT_SECONDS = 0
model, source, out, rejects = sys.argv[1:]
print("started", flush=True)
done = score_file(
    Classifier.load(model),
    source,
    out,
    rejects=rejects,
    resume=True,
    parallelism=Parallelism(2, 64),
)
print(done.resumed, flush=True)
"""
WORDS = "Wo ist der Bahnhof where is the station où est la gare 駅はどこ".split()  # noqa: SIM905
ROWS = 12_000


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder of two files; one row in fifty is bad."""
    chance = random.Random(1)
    folder = tmp_path_factory.mktemp("input")
    for name in ("a.csv", "b.csv"):
        lines = ["id,text"]
        for number in range(ROWS // 2):
            text = " ".join(chance.choices(WORDS, k=chance.randint(1, 9)))
            bad = chance.random()
            lines.append(
                f"{number}"
                if bad < 0.01
                else f"{number},"
                if bad < 0.02
                else f'{number},"{text}, ""é"""'
            )
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def outputs(folder, name):
    return (folder / name).read_bytes(), (folder / "rejects.jsonl").read_bytes()


@pytest.mark.parametrize("name", ["out.jsonl.gz", "out.parquet"])
def test_run_that_is_killed_repeatedly_writes_the_same_bytes(model_folder, source, tmp_path, name):
    def command(folder):
        arguments = [model_folder, source, folder / name, folder / "rejects.jsonl"]
        return [sys.executable, "-c", SCRIPT, *map(str, arguments)]

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    subprocess.run(command(whole), check=True, stdout=subprocess.DEVNULL)

    chance, resumed = random.Random(name), []
    journal = killed / f".{name}.partial" / "journal"
    for attempt in range(40):
        size = journal.stat().st_size if journal.exists() else 0
        process = subprocess.Popen(command(killed), stdout=subprocess.PIPE, text=True)
        # Kill it at a random moment after it has come further than the run before.
        while (
            attempt < 4
            and process.poll() is None
            and (not journal.exists() or journal.stat().st_size <= size)
        ):
            time.sleep(0.001)
        if attempt < 4:
            time.sleep(chance.random() * 0.15)
            process.send_signal(signal.SIGKILL)
        printed, _ = process.communicate()
        if process.returncode == 0:
            resumed.append(int(printed.split()[-1]))
            break
        assert not (killed / name).exists()
    assert resumed
    assert resumed[0] > 0
    assert outputs(killed, name) == outputs(whole, name)
    assert sorted(path.name for path in killed.iterdir()) == sorted([name, "rejects.jsonl"])


class StopError(Exception):
    """Interrupts a run."""


@pytest.fixture
def committing(monkeypatch):
    """Commit after every chunk."""
    monkeypatch.setattr(run, "_COMMIT_SECONDS", 0)


def interrupt(classifier, source, out, rows, **options):
    """Interrupts a run after a number of rows."""

    def stop(counts, _):
        if counts.rows >= rows:
            raise StopError

    with pytest.raises(StopError):
        score_file(
            classifier, source, out, parallelism=Parallelism(2, 64), on_progress=stop, **options
        )


@pytest.mark.usefixtures("committing")
def test_resumed_run_continues_where_the_other_ended(classifier, source, tmp_path):
    out, rejects = tmp_path / "out.tsv.zst", tmp_path / "rejects.jsonl"
    # In the middle of the second file.
    interrupt(classifier, source, out, 3 * ROWS // 4, rejects=rejects)
    assert [path.name for path in tmp_path.iterdir()] == [".out.tsv.zst.partial"]
    done = score_file(
        classifier, source, out, rejects=rejects, resume=True, parallelism=Parallelism(1, 64)
    )
    assert 3 * ROWS // 4 <= done.resumed < ROWS
    assert done.rows == done.scored + done.rejected == ROWS
    resumed = outputs(tmp_path, out.name)
    whole = score_file(classifier, source, out, rejects=rejects, parallelism=Parallelism(3, 64))
    assert outputs(tmp_path, out.name) == resumed
    assert (whole.resumed, whole.rejected, whole.truncated) == (0, done.rejected, done.truncated)


@pytest.mark.usefixtures("committing")
def test_run_that_a_bad_row_ended_resumes_with_a_rejects_file(classifier, source, tmp_path):
    out, rejects = tmp_path / "out.csv", tmp_path / "rejects.jsonl"
    lines = (source / "a.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    source = tmp_path / "in.csv"
    source.write_text("".join(lines[:1001]), encoding="utf-8")
    with pytest.raises(
        InterruptedRunError, match=r"the first 3 bad rows: .* resume the run$"
    ) as error:
        score_file(classifier, source, out, parallelism=Parallelism(1, 8))
    assert isinstance(error.value.__cause__, BadRowsError)
    done = score_file(
        classifier, source, out, rejects=rejects, resume=True, parallelism=Parallelism(1, 8)
    )
    assert done.resumed > 0
    resumed = outputs(tmp_path, out.name)
    score_file(classifier, source, out, rejects=rejects, parallelism=Parallelism(2, 8))
    assert outputs(tmp_path, out.name) == resumed


@pytest.mark.usefixtures("committing")
def test_resuming_a_run_with_rejected_rows_requires_a_rejects_file(classifier, tmp_path):
    source, out, rejects = (tmp_path / name for name in ("in.csv", "out.csv", "rejects.jsonl"))
    source.write_text('text\n""\n' + "wo ist der Bahnhof\n" * 1000)
    interrupt(classifier, source, out, 500, rejects=rejects)
    with pytest.raises(OutputError, match="rejected 1 rows and has no rejects file"):
        score_file(classifier, source, out, resume=True, parallelism=Parallelism(2, 64))
    done = score_file(
        classifier, source, out, rejects=rejects, resume=True, parallelism=Parallelism(2, 64)
    )
    assert (done.rejected, done.resumed > 0) == (1, True)
    assert len(rejects.read_text().splitlines()) == 1


@pytest.mark.usefixtures("committing")
def test_damaged_parquet_rows_are_an_error(classifier, source, tmp_path):
    out, rejects = tmp_path / "out.parquet", tmp_path / "rejects.jsonl"
    interrupt(classifier, source, out, 1000, rejects=rejects)
    with (tmp_path / ".out.parquet.partial" / "rows").open("r+b") as rows:
        rows.write(b"\xff" * 64)
    with pytest.raises(OutputError, match=r"written so far are damaged: .*\. Start again$"):
        score_file(
            classifier, source, out, rejects=rejects, resume=True, parallelism=Parallelism(2, 64)
        )
    assert [path.name for path in tmp_path.iterdir()] == ["rejects.jsonl"]


@pytest.mark.usefixtures("committing")
def test_resuming_with_another_input_or_other_options_is_refused(classifier, tmp_path):
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("text\n" + "wo ist der Bahnhof\n" * 1000)
    interrupt(classifier, source, out, 500)
    with pytest.raises(OutputError, match="cannot resume: the set of options has changed"):
        score_file(
            classifier,
            source,
            out,
            ScoringOptions(top_k=2),
            resume=True,
            parallelism=Parallelism(2, 64),
        )
    with pytest.raises(OutputError, match="cannot resume: the chunk size has changed"):
        score_file(classifier, source, out, resume=True, parallelism=Parallelism(2, 65))
    with source.open("a") as file:
        file.write("one more\n")
    with pytest.raises(OutputError, match="cannot resume: the input has changed"):
        score_file(classifier, source, out, resume=True, parallelism=Parallelism(2, 64))
    assert score_file(classifier, source, out).rows == 1001
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


@pytest.mark.usefixtures("committing")
def test_former_output_stays_until_the_new_one_is_complete(classifier, source, tmp_path):
    out, rejects = tmp_path / "out.csv", tmp_path / "rejects.jsonl"
    out.write_text("former")
    interrupt(classifier, source, out, 1000, rejects=rejects)
    assert out.read_text() == "former"
    assert not rejects.exists()
    assert json.loads((tmp_path / ".out.csv.partial/rejected").read_text().splitlines()[0])
