"""Scoring is timed beside its bound and others, killed, and watched."""

import gzip
import json
import os
from importlib.util import find_spec

import pytest

from benchmarks.lib.command import BenchmarkError
from benchmarks.lib.subprocesses import last_line
from benchmarks.scoring import candidates, front, kills, memory, throughput
from benchmarks.scoring.front_picture import write_picture
from gatewise.vocab.corpus.record_stream import open_records


@pytest.fixture(scope="module")
def sentences(languages, tmp_path_factory):
    """A corpus that is not split, with a text that holds no token."""
    folder = tmp_path_factory.mktemp("sentences")
    rows = (languages / "test.csv").read_text(encoding="utf-8")
    with gzip.open(folder / "all.csv.gz", "wt", encoding="utf-8", newline="") as file:
        file.write(f"{rows}   ,en\n")
    return folder


def test_every_candidate_is_timed(run, model_folder, sentences):
    few = ["--rounds", 1, "--train-rows", 60, "--peer-rows", 50, "--cores", 1]
    before = os.sched_getaffinity(0)
    document = run(throughput.main, model_folder, "--corpus", sentences, *few)
    assert os.sched_getaffinity(0) == before
    assert document["cores"] == 1
    rows = {row["what"]: row for row in document["scoring"]}
    count = sum(1 for _ in open_records(sentences))
    for name in (throughput.BOUND, candidates.FROM_STRINGS, candidates.TO_CSV):
        assert rows[name]["rows"] == count
    assert rows[candidates.LINEAR]["rows"] == 50
    assert (candidates.FASTTEXT in rows) == bool(find_spec("fasttext"))
    assert rows[throughput.BOUND]["to the bound"] == 1
    bound = rows[throughput.BOUND]["rows/s"]
    for name in (candidates.TOKENIZING, candidates.INFERENCE):
        assert rows[name]["rows/s"] > bound
    for row in rows.values():
        assert 0 < row["lower quartile"] <= row["rows/s"] <= row["upper quartile"]


def test_the_front_has_every_model_with_its_accuracy_and_is_drawn(
    run, model_folder, languages, tmp_path
):
    files = [languages / "train.csv", languages / "test.csv"]
    document = run(front.main, *files, model_folder, "--rounds", 1, "--rows", 60, "--cores", 1)
    points = {point["what"]: point for point in document["front"]}
    expected = {model_folder.name, "LinearSVC", *(["fastText"] if find_spec("fasttext") else [])}
    assert points.keys() == expected
    assert all(point["rows"] == 60 and point["accuracy, %"] > 20 for point in points.values())
    assert points[model_folder.name]["accuracy, %"] > 90
    cascaded = {**document["front"][0], "what": model_folder.name + front.CASCADED}
    pictures = [tmp_path / "one.svg", tmp_path / "two.svg"]
    for picture in pictures:
        write_picture(picture, {"a corpus": [*document["front"], cascaded]})
    one, two = (picture.read_text(encoding="utf-8") for picture in pictures)
    assert one == two
    assert one.count(f">{model_folder.name}<") == 2


def test_other_labels_are_an_error():
    digests = {candidates.FROM_STRINGS: "a", candidates.LINEAR: None}
    throughput.check_labels(digests)
    with pytest.raises(BenchmarkError, match="the same labels of all of Gatewise"):
        throughput.check_labels({**digests, candidates.TO_CSV: "b"})


def test_a_corpus_that_is_not_there_is_an_error(error_of, model_folder, tmp_path):
    assert "all.csv.gz" in error_of(throughput.main, model_folder, "--corpus", tmp_path)


def test_a_killed_run_ends_with_the_same_bytes(run, model_folder, sentences):
    few = ["--rows", 120_000, "--kills", 2, "--suffix", ".csv"]
    (row,) = run(kills.main, model_folder, "--corpus", sentences, *few)["kills"]
    assert row["kills"] == 2
    assert row["rows"] >= 120_000
    assert row["same output"]
    assert row["same rejects"]
    assert row["former output kept"]


def test_memory_is_sampled(run, model_folder, sentences):
    few = ["--rows", 30_000, "--every", 6_000, "--workers", 1]
    samples = run(memory.main, model_folder, "--corpus", sentences, *few)["samples"]
    assert len(samples) > 3
    assert all(sample["peak, MiB"] > sample["PSS then, MiB"] / 2 > 1 for sample in samples)


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_ray_writes_the_rows_of_the_local_engine(model_folder, languages):
    # A cluster is not started in the process of the tests.
    few = ["--rows", 200, "--rounds", 1, "--workers", 1, "--json"]
    arguments = [model_folder, languages / "test.csv", *few]
    rows = json.loads(last_line("benchmarks.scoring.ray", list(map(str, arguments))))["engines"]
    assert [row["what"] for row in rows] == ["local, --workers 1", "Ray, --workers 1"]
    assert all(row["the same rows"] and row["in all, s"] > 0 for row in rows)
