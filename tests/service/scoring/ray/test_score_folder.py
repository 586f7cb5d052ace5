"""Scoring on a real Ray cluster: the rows are those of the local engine, whatever happens."""

import gzip
import json
import os
import pickle
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
import ray
from gatewise.service.model.classifier import Classifier
from gatewise.service.ray_cluster import ClusterError, connected
from gatewise.service.scoring.options import ScoringOptions, ScoringPlan
from gatewise.service.scoring.ray import ray_pool
from gatewise.service.scoring.ray.input_splits import (
    InputSplit,
    SplitSizes,
    input_splits,
    pack,
    shares,
    unpack,
)
from gatewise.service.scoring.ray.model_bytes import packed
from gatewise.service.scoring.ray.output_parts import OutputParts, PartitionedOutput
from gatewise.service.scoring.ray.ray_pool import Cluster, Pool
from gatewise.service.scoring.ray.score_folder import score_folder
from gatewise.service.scoring.ray.split_scorer import Outcome, Scorer, SplitJob
from gatewise.service.scoring.score_file import InterruptedRunError, Parallelism, score_file
from gatewise.service.scoring.summary import Summary
from gatewise.vocab.corpus.bad_row_policy import BadRowsError
from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.corpus.records import BadRow
from gatewise.vocab.errors import CorpusError

# Ray Data's own, of settings that it makes itself.
pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context"),
]

SIZES = SplitSizes(window=64, stretch=500, share=40_000)
WORDS = "Wo ist der Bahnhof where is the station où est la gare 駅はどこ".split()  # noqa: SIM905
ROWS = 4000


@pytest.fixture(scope="module", autouse=True)
def ray_cluster() -> Iterator[None]:
    """A cluster of this machine, to which this process is connected."""
    with connected(None, cpus=3, object_store_bytes=200 * 2**20, log_to_driver=False):
        yield


def texts(seed: int, rows: int) -> list[str]:
    chance = random.Random(seed)
    return [f'{" ".join(chance.choices(WORDS, k=chance.randint(1, 9)))}, "é"' for _ in range(rows)]


def csv(path: Path, rows: list[str]) -> None:
    lines = [f'{number},"{text.replace(chr(34), chr(34) * 2)}"' for number, text in enumerate(rows)]
    path.write_text("\n".join(["id,text", *lines]) + "\n", encoding="utf-8")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of a large file, which has a share of its own, and of two that are read together."""
    folder = tmp_path / "input"
    folder.mkdir()
    csv(folder / "a.csv", texts(1, ROWS))
    csv(folder / "b.csv", texts(2, 150))
    csv(folder / "c.csv", texts(3, 700))
    return folder


def score(model: Path, source: Path, out: Path, suffix: str, **options: object) -> Summary:
    rejects = options.pop("rejects", None)
    wishes = ScoringOptions(**options.pop("wishes", {}))
    return score_folder(
        model,
        open_records(source),
        PartitionedOutput.named(out, suffix, rejects),
        wishes,
        cluster=Cluster(None, options.pop("workers", 2), SIZES),
        **options,
    )


def local(classifier: Classifier, source: Path, out: Path, **options: object) -> Summary:
    return score_file(classifier, source, out, pace=Parallelism(1, SIZES.window), **options)


def text_of(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def joined(folder: Path, *, headers: bool) -> bytes:
    parts = [text_of(path) for path in sorted(folder.iterdir())]
    if not headers:
        return b"".join(parts)
    heads = {part.partition(b"\n")[0] for part in parts}
    assert len(heads) == 1
    return heads.pop() + b"\n" + b"".join(part.partition(b"\n")[2] for part in parts)


def test_the_parts_one_after_another_are_what_the_local_engine_writes(
    model_folder: Path, classifier: Classifier, source: Path, tmp_path: Path
) -> None:
    told = []
    done = score(
        model_folder,
        source,
        tmp_path / "out",
        "csv",
        on_progress=lambda counts, _: told.append(counts.rows),
    )
    alone = local(classifier, source, tmp_path / "out.csv")
    assert replace(done, seconds=0) == replace(alone, seconds=0)
    assert done.rows == ROWS + 850
    assert told == sorted(told)
    assert told[-1] == done.rows
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    # 512 rows are the first whole windows that reach 500.
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
    rejects, wishes = tmp_path / "rejects.jsonl", {"top_k": 2, "columns": ("n", "label_2", "label")}
    done = score(
        model_folder,
        source,
        tmp_path / "out",
        "jsonl.gz",
        rejects=rejects,
        wishes=wishes,
    )
    alone = local(
        classifier,
        source,
        tmp_path / "out.jsonl.gz",
        wishes=ScoringOptions(**wishes),
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
    assert [part.num_rows for part in parts] == [512, 512, 276]
    assert pa.concat_tables(parts).equals(pq.read_table(tmp_path / "out.parquet"))


def test_a_worker_that_is_killed_loses_nothing_and_doubles_nothing(
    model_folder: Path, classifier: Classifier, source: Path, tmp_path: Path
) -> None:
    killed = []

    def kill(*_: object) -> None:
        """Kills a process that scores, once a part is whole and others are under way."""
        for path in Path("/proc").iterdir():
            if killed or not path.name.isdecimal():
                continue
            try:
                name = (path / "cmdline").read_bytes()
            except OSError:
                continue
            if name.startswith(b"ray::MapWorker") and b"Scorer" in name:
                os.kill(int(path.name), signal.SIGKILL)
                killed.append(int(path.name))

    done = score(model_folder, source, tmp_path / "out", "csv", on_progress=kill)
    assert killed
    local(classifier, source, tmp_path / "out.csv")
    assert done.rows == ROWS + 850
    assert joined(tmp_path / "out", headers=True) == (tmp_path / "out.csv").read_bytes()


def test_a_run_that_a_bad_row_ends_names_it_and_is_gone_on_with(
    model_folder: Path, classifier: Classifier, source: Path, tmp_path: Path
) -> None:
    with (source / "a.csv").open("a") as file:
        file.write("4000,\n4001,the last\n4002\n")
    out, rejects = tmp_path / "out", tmp_path / "rejects.jsonl"
    with pytest.raises(InterruptedRunError, match=r"--resume$") as error:
        score(model_folder, source, out, "csv")
    with pytest.raises(BadRowsError) as expected:
        raise error.value.__cause__
    where = f"{source / 'a.csv'}: the first 2 bad rows: line 4002: "
    assert str(expected.value).startswith(where)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.partial", "input"]

    done = score(model_folder, source, out, "csv", rejects=rejects, resume=True)
    local(classifier, source, tmp_path / "out.csv", rejects=tmp_path / "rejects_local.jsonl")
    # All parts before it were whole.
    assert done.resumed >= 7 * 512
    assert (done.rows, done.rejected) == (ROWS + 853, 2)
    assert joined(out, headers=True) == (tmp_path / "out.csv").read_bytes()
    assert rejects.read_bytes() == (tmp_path / "rejects_local.jsonl").read_bytes()
    assert not (tmp_path / ".out.partial").exists()


class Missing:
    """A worker on a node without Gatewise."""

    def __init__(self, job: object) -> None:
        raise ModuleNotFoundError("No module named 'service'")

    def __call__(self, block: pa.Table) -> pa.Table:
        return block


def test_what_ray_says_is_told_in_one_line(
    model_folder: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_pool, "Scorer", Missing)
    told = r"^Ray cannot score the input: ModuleNotFoundError: No module named 'service'$"
    with pytest.raises(ClusterError, match=told):
        score(model_folder, source, tmp_path / "out", "csv", workers=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["input"]


def test_a_file_that_ends_too_early_is_told(model_folder: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in.csv.gz", tmp_path / "out"
    contents = "text\n" + "".join(f"{secrets.token_hex()}\n" for _ in range(1000))
    whole = gzip.compress(contents.encode())
    source.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorpusError, match=rf"{source}: cannot be read"):
        score(model_folder, source, out, "csv", workers=1)
    assert not out.exists()


@pytest.fixture
def job(model_folder: Path, classifier: Classifier, source: Path, tmp_path: Path) -> SplitJob:
    """What a worker is given, with the folder that it expects."""
    output = PartitionedOutput.named(tmp_path / "out", "csv")
    parts = OutputParts.of(output)
    parts.path.mkdir(parents=True)
    (parts.path.parent / "token").write_text("token")
    return SplitJob(
        model=packed(model_folder, classifier),
        precision=classifier.artifact.precision,
        plan=ScoringPlan.of(classifier, open_records(source), output.part, ScoringOptions()),
        parts=parts,
        token="token",
        strict=True,
        name_node=False,
    )


def outcome(scorer: Scorer, stretch: InputSplit) -> Outcome:
    (block,) = scorer(stretch.block())
    return pickle.loads(block["outcome"][0].as_py())


def test_a_stretch_that_kills_its_workers_is_given_up(job: SplitJob, source: Path) -> None:
    first = next(input_splits(0, open_records(source).tables, SIZES))
    scorer = Scorer(ray.put(job))
    whole = outcome(scorer, first)
    assert (whole.has_failed, whole.counts.scored) == (False, 512)
    written = (job.parts.path / "00000-00000.csv").read_bytes()
    assert not outcome(scorer, first).has_failed
    assert (job.parts.path / "00000-00000.csv").read_bytes() == written
    assert not outcome(scorer, first).has_failed
    assert not outcome(scorer, first).has_failed
    # None of these four was lost, but that is more than their successor can know.
    complaint = outcome(scorer, first).complaint
    assert complaint is not None
    assert "4 workers were lost" in complaint


def test_a_node_that_does_not_see_the_folder_says_so(job: SplitJob, source: Path) -> None:
    first = next(input_splits(0, open_records(source).tables, SIZES))
    (job.parts.path.parent / "token").write_text("another run's")
    complaint = outcome(Scorer(ray.put(replace(job, name_node=True))), first).complaint
    assert complaint is not None
    assert re.match(r"on the node [0-9.]+: .*this node does not see the folder", complaint)


def test_a_damaged_parcel_is_not_loaded(job: SplitJob, source: Path) -> None:
    first = next(input_splits(0, open_records(source).tables, SIZES))
    middle = len(job.model) // 2
    model = job.model[:middle] + bytes([job.model[middle] ^ 1]) + job.model[middle + 1 :]
    complaint = outcome(Scorer(ray.put(replace(job, model=model))), first).complaint
    assert complaint is not None
    assert "damaged or was changed" in complaint


def test_records_are_unpacked_as_they_were_packed(source: Path) -> None:
    with (source / "b.csv").open("a") as file:
        file.write("1\n2,two,too many\n3,the last\n")
    items = list(open_records(source / "b.csv"))
    assert sum(isinstance(item, BadRow) for item in items) == 2
    assert unpack(pack(items)) == items


def test_stretches_depend_on_the_input_alone(source: Path) -> None:
    tables = open_records(source).tables
    every = list(input_splits(3, tables, SIZES))
    assert [stretch.place.number for stretch in every] == list(range(11))
    assert [stretch.is_end for stretch in every] == [False] * 10 + [True]
    some = list(input_splits(3, tables, SIZES, frozenset({0, 4, 9})))
    assert some == [stretch for stretch in every if stretch.place.number not in {0, 4, 9}]
    assert [len(share) for share in shares(tables, SIZES.share)] == [1, 2]


def test_a_format_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="unknown format 'xml': expected one of csv, tsv, jsonl"):
        PartitionedOutput.named(tmp_path / "out", "xml")
    with pytest.raises(CorpusError, match="expected a folder on a file system"):
        PartitionedOutput.named("s3://bucket/out", "csv")


def test_only_an_earlier_output_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "part-00000.csv.gz").touch()
    PartitionedOutput.named(out, "parquet")
    (out / "letter.txt").touch()
    with pytest.raises(CorpusError, match=r"holds letter\.txt, which is no part of a scored input"):
        PartitionedOutput.named(out, "parquet")
    with pytest.raises(CorpusError, match="expected a folder, but it is a file"):
        PartitionedOutput.named(out / "letter.txt", "parquet")
    with pytest.raises(CorpusError, match="there is no folder"):
        PartitionedOutput.named(out / "none" / "out", "parquet")


@pytest.mark.parametrize(
    ("cpus", "workers", "files", "divided"),
    [
        (2, None, 1, Pool(1, 1)),
        (2, 1, 9, Pool(1, 1)),
        (8, None, 1, Pool(7, 1)),
        (64, None, 1, Pool(63, 1)),
        (64, None, 100, Pool(56, 8)),
        (64, 63, 100, Pool(63, 1)),
        (64, 10, 3, Pool(10, 3)),
    ],
)
def test_processors_are_left_for_reading(
    cpus: int, workers: int | None, files: int, divided: Pool
) -> None:
    assert Pool.among(cpus, workers, files) == divided
    assert divided.workers + divided.readers <= cpus


def test_workers_for_which_there_is_no_room_are_refused_before_they_wait_forever(
    model_folder: Path, source: Path, tmp_path: Path
) -> None:
    with pytest.raises(ClusterError, match=r"3 free processors: expected 4 .* --workers 2 at most"):
        score(model_folder, source, tmp_path / "out", "csv", workers=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["input"]
    with pytest.raises(ClusterError, match="1 free processors: expected 2 at least"):
        Pool.among(1, None, 1)
