"""Scoring on a real Ray cluster writes the rows of the local engine, also after failures."""

import gzip
import json
import os
import random
import re
import secrets
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gatewise.service.model.classifier import Classifier
from gatewise.service.ray_cluster import ClusterError, connected
from gatewise.service.scoring.options import ScoringOptions, ScoringPlan
from gatewise.service.scoring.ray import ray_pool
from gatewise.service.scoring.ray.input_splits import Split, SplitReader, SplitSizes, file_groups
from gatewise.service.scoring.ray.output_parts import OutputParts, PartitionedOutput
from gatewise.service.scoring.ray.ray_pool import Cluster, Schedule
from gatewise.service.scoring.ray.score_folder import score_folder
from gatewise.service.scoring.ray.split_scorer import Outcome, Scorer, SplitJob
from gatewise.service.scoring.score_file import InterruptedRunError, Parallelism, score_file
from gatewise.service.scoring.summary import RowCounts, Summary
from gatewise.vocab.corpus.bad_row_policy import BadRowsError
from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.errors import GatewiseError, OutputError

pytestmark = pytest.mark.ray

SIZES = SplitSizes(chunk=64, split=500, group=40_000)
WORDS = "Wo ist der Bahnhof where is the station où est la gare 駅はどこ".split()  # noqa: SIM905
ROWS = 4000


@pytest.fixture(scope="module", autouse=True)
def ray_cluster() -> Iterator[None]:
    """A cluster on this machine, to which this process is connected."""
    with connected(None, cpus=3, log_to_driver=False):
        yield


def texts(seed: int, rows: int) -> list[str]:
    chance = random.Random(seed)
    return [f'{" ".join(chance.choices(WORDS, k=chance.randint(1, 9)))}, "é"' for _ in range(rows)]


def csv(path: Path, rows: list[str]) -> None:
    lines = [f'{number},"{text.replace(chr(34), chr(34) * 2)}"' for number, text in enumerate(rows)]
    path.write_text("\n".join(["id,text", *lines]) + "\n", encoding="utf-8")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of a large file, which is a group of its own, and of two that are read together."""
    folder = tmp_path / "input"
    folder.mkdir()
    csv(folder / "a.csv", texts(1, ROWS))
    csv(folder / "b.csv", texts(2, 150))
    csv(folder / "c.csv", texts(3, 700))
    return folder


def score(model: Path, source: Path, out: Path, suffix: str, **options: object) -> Summary:
    rejects = options.pop("rejects", None)
    scoring_options = ScoringOptions(**options.pop("options", {}))
    return score_folder(
        model,
        open_records(source),
        PartitionedOutput.named(out, suffix, rejects),
        scoring_options,
        cluster=Cluster(None, options.pop("workers", 2), SIZES),
        **options,
    )


def local(classifier: Classifier, source: Path, out: Path, **options: object) -> Summary:
    return score_file(classifier, source, out, parallelism=Parallelism(1, SIZES.chunk), **options)


def text_of(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def joined(folder: Path, *, headers: bool) -> bytes:
    parts = [text_of(path) for path in sorted(folder.iterdir())]
    if not headers:
        return b"".join(parts)
    heads = {part.partition(b"\n")[0] for part in parts}
    assert len(heads) == 1
    return heads.pop() + b"\n" + b"".join(part.partition(b"\n")[2] for part in parts)


def test_concatenated_parts_are_the_output_of_the_local_engine(
    model_folder: Path, classifier: Classifier, source: Path, tmp_path: Path
) -> None:
    reported = []
    done = score(
        model_folder,
        source,
        tmp_path / "out",
        "csv",
        on_progress=lambda counts, _: reported.append(counts.rows),
    )
    alone = local(classifier, source, tmp_path / "out.csv")
    assert replace(done, seconds=0) == replace(alone, seconds=0)
    assert done.rows == ROWS + 850
    assert reported == sorted(reported)
    assert reported[-1] == done.rows
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"part-{number:05}.csv" for number in range(8 + 2)]
    assert joined(tmp_path / "out", headers=True) == (tmp_path / "out.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["input", "out", "out.csv"]


def test_json_lines_with_columns_chosen_and_compressed_parts(
    model_folder: Path, classifier: Classifier, tmp_path: Path
) -> None:
    source = tmp_path / "in.jsonl.gz"
    lines = [json.dumps({"text": text, "n": [1.0, None]}) for text in texts(4, 1200)]
    lines[7] = "{"
    lines[1100] = '{"text": " "}'
    source.write_bytes(gzip.compress("\n".join(lines).encode()))
    rejects, columns = (
        tmp_path / "rejects.jsonl",
        {"top_k": 2, "columns": ("n", "label_2", "label")},
    )
    done = score(
        model_folder,
        source,
        tmp_path / "out",
        "jsonl.gz",
        rejects=rejects,
        options=columns,
    )
    alone = local(
        classifier,
        source,
        tmp_path / "out.jsonl.gz",
        options=ScoringOptions(**columns),
        rejects=tmp_path / "rejects_local.jsonl",
    )
    assert replace(done, seconds=0) == replace(alone, seconds=0)
    assert (done.scored, done.rejected) == (1198, 2)
    assert joined(tmp_path / "out", headers=False) == text_of(tmp_path / "out.jsonl.gz")
    assert rejects.read_bytes() == (tmp_path / "rejects_local.jsonl").read_bytes()


def test_parquet_keeps_the_types_of_its_columns(
    model_folder: Path, classifier: Classifier, tmp_path: Path
) -> None:
    source = tmp_path / "in.parquet"
    rows = texts(5, 1300)
    moments = pa.array(range(1300), pa.timestamp("ns"))
    structs = pa.array([{"a": number} for number in range(1300)])
    pq.write_table(pa.table({"text": rows, "moment": moments, "struct": structs}), source)
    score(model_folder, source, tmp_path / "out", "parquet")
    local(classifier, source, tmp_path / "out.parquet")
    parts = [pq.read_table(path) for path in sorted((tmp_path / "out").iterdir())]
    assert [part.num_rows for part in parts] == [500, 500, 300]
    assert pa.concat_tables(parts).equals(pq.read_table(tmp_path / "out.parquet"))


def test_killed_worker_neither_loses_nor_duplicates_rows(
    model_folder: Path, classifier: Classifier, source: Path, tmp_path: Path
) -> None:
    killed = []

    def kill(*_: object) -> None:
        """Kills a scoring process after the first part is complete."""
        for path in Path("/proc").iterdir():
            if killed or not path.name.isdecimal():
                continue
            try:
                name = (path / "cmdline").read_bytes()
            except OSError:
                continue
            if name.startswith(b"ray::Scorer.score"):
                os.kill(int(path.name), signal.SIGKILL)
                killed.append(int(path.name))

    done = score(model_folder, source, tmp_path / "out", "csv", on_progress=kill)
    assert killed
    local(classifier, source, tmp_path / "out.csv")
    assert done.rows == ROWS + 850
    assert joined(tmp_path / "out", headers=True) == (tmp_path / "out.csv").read_bytes()


def test_run_that_a_bad_row_ended_can_be_resumed(
    model_folder: Path, classifier: Classifier, source: Path, tmp_path: Path
) -> None:
    with (source / "a.csv").open("a") as file:
        file.write("4000,\n4001,the last\n4002\n")
    out, rejects = tmp_path / "out", tmp_path / "rejects.jsonl"
    with pytest.raises(InterruptedRunError, match=r"resume the run$") as error:
        score(model_folder, source, out, "csv")
    with pytest.raises(BadRowsError) as expected:
        raise error.value.__cause__
    where = f"{source / 'a.csv'}: the first 2 bad rows: line 4002: "
    assert str(expected.value).startswith(where)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.partial", "input"]

    done = score(model_folder, source, out, "csv", rejects=rejects, resume=True)
    local(classifier, source, tmp_path / "out.csv", rejects=tmp_path / "rejects_local.jsonl")
    # All parts before it were whole.
    assert done.resumed >= 7 * 500
    assert (done.rows, done.rejected) == (ROWS + 853, 2)
    assert joined(out, headers=True) == (tmp_path / "out.csv").read_bytes()
    assert rejects.read_bytes() == (tmp_path / "rejects_local.jsonl").read_bytes()
    assert not (tmp_path / ".out.partial").exists()


class Missing:
    """A worker on a node without Gatewise."""

    def __init__(self) -> None:
        raise ModuleNotFoundError("No module named 'service'")

    def score(self, *_: object) -> None:
        """Never called."""


class Deadly:
    """A worker that crashes, as without enough memory."""

    def score(self, *_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("worker", "message"),
    [
        (Missing, "Ray cannot score the input: ModuleNotFoundError: No module named 'service'"),
        (Deadly, "4 workers were lost, one after another, while they scored part 00000-00000 of"),
    ],
)
def test_failure_of_ray_is_one_line(
    model_folder: Path,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    worker: type,
    message: str,
) -> None:
    monkeypatch.setattr(ray_pool, "Scorer", worker)
    with pytest.raises(ClusterError, match=rf"^{message}[^\n]*$"):
        score(model_folder, source, tmp_path / "out", "csv", workers=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["input"]


def test_truncated_input(model_folder: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in.csv.gz", tmp_path / "out"
    contents = "text\n" + "".join(f"{secrets.token_hex()}\n" for _ in range(1000))
    whole = gzip.compress(contents.encode())
    source.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(GatewiseError, match=rf"{source}: cannot be read"):
        score(model_folder, source, out, "csv", workers=1)
    assert not out.exists()


@pytest.fixture
def job(classifier: Classifier, source: Path, tmp_path: Path) -> SplitJob:
    """A job, with the folder of its output."""
    output = PartitionedOutput.named(tmp_path / "out", "csv")
    output.staging.mkdir()
    return SplitJob(
        artifact=classifier.artifact,
        plan=ScoringPlan.of(classifier, open_records(source), output.part, ScoringOptions()),
        sizes=SIZES,
        parts=OutputParts.begin(output, keep=False),
        strict=True,
        name_node=False,
    )


def first_outcome(job: SplitJob, source: Path) -> Outcome:
    return Scorer().score(job, open_records(source).tables[:1], Split(0, 0))


def test_split_that_is_scored_again_has_the_same_bytes(job: SplitJob, source: Path) -> None:
    outcome = first_outcome(job, source)
    assert (outcome.has_failed, outcome.counts.scored) == (False, 500)
    path = job.parts.path / "00000-00000.csv"
    written = path.read_bytes()
    path.unlink()
    assert job.parts.complete() == {}
    assert first_outcome(job, source) == outcome
    assert path.read_bytes() == written
    assert job.parts.complete() == {Split(0, 0): outcome.counts}


def test_a_node_that_does_not_see_the_folder_says_so(job: SplitJob, source: Path) -> None:
    (job.parts.path / "token").write_text("another run's")
    failure = first_outcome(replace(job, name_node=True), source).failure
    assert failure is not None
    assert re.match(r"on the node [0-9.]+: .*this node does not see the folder", failure)


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [2, 3], [1, 0, 0, 3, 2]])
def test_splits_can_be_read_in_any_order(source: Path, order: list[int]) -> None:
    with (source / "b.csv").open("a") as file:
        file.write('1\n2,"a cell\nof two lines"\n')
    group = open_records(source / "b.csv", source / "c.csv").tables
    records = list(open_records(source / "b.csv", source / "c.csv"))
    sizes, reader = replace(SIZES, split=300), SplitReader()
    for number in order:
        chunks = list(reader.chunks(group, Split(0, number), sizes))
        assert max(map(len, chunks), default=0) <= SIZES.chunk
        found = [record for chunk in chunks for record in chunk]
        assert found == records[300 * number : 300 * (number + 1)]


def test_partly_read_split_is_read_again_from_its_beginning(
    source: Path,
) -> None:
    group, reader = open_records(source / "a.csv").tables, SplitReader()
    whole = list(reader.chunks(group, Split(0, 1), SIZES))
    next(reader.chunks(group, Split(0, 1), SIZES))
    assert list(reader.chunks(group, Split(0, 1), SIZES)) == whole


def test_small_files_are_read_together(source: Path) -> None:
    groups = file_groups(open_records(source).tables, SIZES.group)
    assert [len(group) for group in groups] == [1, 2]


class TestSchedule:
    """The number of splits of a group is unknown at first."""

    def test_worker_stays_with_its_group_and_then_starts_another(self) -> None:
        schedule = Schedule(3, 10, {})
        first = schedule.take(None, [])
        other = schedule.take(None, [first])
        assert (first, other) == (Split(0, 0), Split(1, 0))
        schedule.finish(first, RowCounts(10))
        assert schedule.take(first, [other]) == Split(0, 1)
        schedule.finish(Split(0, 1), RowCounts(3))
        assert schedule.take(Split(0, 1), [other]) == Split(2, 0)

    def test_last_groups_are_shared(self) -> None:
        schedule = Schedule(2, 10, {})
        taken: list[Split] = []
        for _ in range(5):
            taken.append(schedule.take(None, taken))
        assert sorted(taken) == [Split(0, n) for n in range(3)] + [Split(1, n) for n in range(2)]
        schedule.finish(Split(0, 1), RowCounts(9))
        assert schedule.is_needed(Split(0, 0), None)
        assert not schedule.is_needed(Split(0, 2), None)
        assert schedule.take(Split(0, 1), []) == Split(1, 2)
        schedule.finish(Split(1, 0), RowCounts(0))
        assert schedule.take(Split(1, 0), []) is None

    def test_complete_splits_are_left_out(self) -> None:
        complete = {
            Split(0, 1): RowCounts(10),
            Split(1, 0): RowCounts(2),
            Split(0, 3): RowCounts(4),
        }
        schedule, previous, taken = Schedule(2, 10, complete), None, []
        while (previous := schedule.take(previous, [])) is not None:
            taken.append(previous)
        assert taken == [Split(0, 0), Split(0, 2)]

    def test_after_a_failure_only_earlier_splits_of_its_group_are_needed(self) -> None:
        schedule, failed = Schedule(2, 10, {}), Outcome(Split(1, 1), failure="cannot be read")
        assert schedule.is_needed(Split(1, 0), failed)
        assert not schedule.is_needed(Split(1, 2), failed)
        assert not schedule.is_needed(Split(0, 0), failed)


def test_invalid_destination(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="unknown format 'xml': expected one of csv, tsv, jsonl"):
        PartitionedOutput.named(tmp_path / "out", "xml")
    with pytest.raises(OutputError, match="expected a folder on a file system"):
        PartitionedOutput.named("s3://bucket/out", "csv")


def test_only_an_earlier_output_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "part-00000.csv.gz").touch()
    PartitionedOutput.named(out, "parquet")
    (out / "letter.txt").touch()
    with pytest.raises(OutputError, match=r"holds letter\.txt, which is no part of a scored input"):
        PartitionedOutput.named(out, "parquet")
    with pytest.raises(OutputError, match="expected a folder, but it is a file"):
        PartitionedOutput.named(out / "letter.txt", "parquet")
    with pytest.raises(OutputError, match="there is no folder"):
        PartitionedOutput.named(out / "none" / "out", "parquet")


def test_more_workers_than_free_cpus_are_refused(
    model_folder: Path, source: Path, tmp_path: Path
) -> None:
    with pytest.raises(ClusterError, match=r"3 free CPUs: expected 4 .* 3 workers or fewer"):
        score(model_folder, source, tmp_path / "out", "csv", workers=4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["input"]
