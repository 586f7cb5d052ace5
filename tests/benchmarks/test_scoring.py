"""Scoring is timed beside its bound and others, killed, watched, and done by other workers."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from gatewise.vocab.corpus.record_stream import open_records
from gatewise.vocab.errors import GatewiseError
from typer import Typer
from typer.testing import CliRunner

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def run(benchmark_module):
    """Runs one of the benchmarks."""

    def run(name, *arguments):
        app = Typer()
        app.command()(benchmark_module(name).main)
        return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)

    return run


@pytest.fixture(scope="module")
def sentences(languages, tmp_path_factory):
    """A set that is not split, with a text that holds no token."""
    folder = tmp_path_factory.mktemp("sentences")
    rows = (languages / "test.csv").read_text(encoding="utf-8")
    with gzip.open(folder / "all.csv.gz", "wt", encoding="utf-8", newline="") as file:
        file.write(f"{rows}   ,en\n")
    return folder


@pytest.fixture(scope="module")
def measured(run, benchmark_module, model_folder, sentences):
    """What was timed by every way that is there but those of slow frameworks."""
    ways = benchmark_module("scoring_ways")
    slow = {ways.KERAS, ways.PYTORCH, ways.NODE}
    only = [given for way in ways.WAYS if way not in slow for given in ("--only", way)]
    few = ["--rounds", 2, "--learnt", 60, "--peer-rows", 50, "--cores", 1]
    before = os.sched_getaffinity(0)
    result = run("scoring", model_folder, "--set-folder", sentences, *few, *only, "--json")
    assert result.exit_code == 0, result.stderr
    assert os.sched_getaffinity(0) == before
    return {row["name"]: row for row in map(json.loads, result.stdout.splitlines())}


def test_every_way_is_timed(benchmark_module, measured, sentences):
    ways = benchmark_module("scoring_ways")
    every = sum(1 for _ in open_records(sentences))
    ours = [way for way, (module, _) in ways.WAYS.items() if module == "scoring_gatewise"]
    for way in ours:
        assert measured[way]["rows"] == every
    assert measured[ways.TFIDF]["rows"] == 50
    for row in measured.values():
        assert len(row["seconds"]) == 2
        rates = row["rows_per_second"]
        assert 0 < rates["lower"] <= rates["median"] <= rates["upper"]
        assert (row["set"], row["cores"]) == (sentences.name, 1)


def test_the_bound_is_the_sum_of_its_halves(benchmark_module, measured):
    scoring = benchmark_module("scoring")
    halves = (measured[name]["seconds"] for name in (scoring.TOKENIZING, scoring.INFERENCE))
    together = [sum(each) for each in zip(*halves, strict=True)]
    assert measured[scoring.BOUND]["seconds"] == pytest.approx(together)


@pytest.mark.parametrize("way", ["KERAS", "PYTORCH", "NODE"])
def test_a_slow_framework_takes_a_turn(benchmark_module, run, model_folder, sentences, way):
    ways = benchmark_module("scoring_ways")
    name = getattr(ways, way)
    modules = benchmark_module("in_node").NODE_MODULES
    if reason := ways.missing(modules).get(name):
        pytest.skip(reason)
    few = ["--rounds", 1, "--peer-rows", 40, "--node-rows", 40, "--only", name]
    result = run("scoring", model_folder, "--set-folder", sentences, *few)
    assert result.exit_code == 0, result.stderr
    assert f"| {name} | 40 | " in result.stdout


def test_ratios_are_to_gatewise_and_to_the_bound(benchmark_module):
    scoring = benchmark_module("scoring")
    rows = [
        scoring.Row(scoring.BOUND, 100, (1.0, 1.0, 1.0)),
        scoring.Row(scoring.STRINGS, 100, (2.0, 1.25, 1.0)),
        scoring.Row("another", 10, (1.0, 1.0, 1.0)),
    ]
    assert scoring.in_markdown(rows[1], rows) == (
        "| Gatewise, strings to labels | 100 | 80 | 65–90 | 1.00 | 0.80 |"
    )
    assert scoring.in_markdown(rows[2], rows).endswith("| 10 | 10–10 | 0.12 | 0.10 |")
    assert scoring.in_markdown(rows[2], rows[2:]).endswith("| – | – |")
    assert scoring.told(rows).endswith("0.800 of the bound; the goal, 0.9, is not met.")
    assert scoring.told(rows[1:]) == ""
    head, under = scoring.HEAD.splitlines()
    assert head.count("|") == under.count("|") == scoring.in_markdown(rows[0], rows).count("|")


def test_other_labels_are_an_error(benchmark_module):
    scoring, failed = benchmark_module("scoring"), benchmark_module("process").FailedError
    scoring._check({scoring.STRINGS: "a", scoring.INFERENCE: "a", "fastText, predict": "b"})
    with pytest.raises(failed, match="the same labels of all ways of Gatewise"):
        scoring._check({scoring.STRINGS: "a", scoring.INFERENCE: "b"})


def test_a_way_that_fails_says_why(benchmark_module, sentences, tmp_path):
    ways, failed = benchmark_module("scoring_ways"), benchmark_module("process").FailedError
    given = ways.Given(str(sentences / "all.csv.gz"), str(tmp_path / "none"), 1, 2, 2, 2, "")
    with pytest.raises(failed, match=r"strings to labels: .*none"), ways.held(ways.STRINGS, given):
        pass


@pytest.mark.parametrize("name", ["scoring", "scoring_memory", "scoring_kills"])
def test_a_set_that_is_not_there_is_an_error(run, model_folder, tmp_path, name):
    result = run(name, model_folder, "--set-folder", tmp_path)
    assert result.exit_code == 1
    assert "all.csv.gz" in result.stderr


def test_a_corpus_is_cut_spoilt_and_repeated(benchmark_module, tmp_path):
    inputs = benchmark_module("scoring_inputs")
    source = tmp_path / "all.csv"
    source.write_text("text,label\n" + "".join(f'"a, {n}",b\n' for n in range(2000)))
    assert inputs.corpus_of(tmp_path) == source
    few = inputs.cut(source, tmp_path / "few.csv.gz", 3)
    assert list(inputs.cells(few)) == [["text", "label"], *([f"a, {n}", "b"] for n in range(3))]
    spoilt = inputs.cut(source, tmp_path / "spoilt.csv.gz", None, bad=True)
    rows = list(inputs.cells(spoilt))[1:]
    assert len(rows) == 2000
    assert sum(not text for text, *_ in rows) == sum(len(row) == 3 for row in rows) - 1 == 2
    later = inputs.cut(source, tmp_path / "later.csv.gz", 5, start=1998)
    assert list(inputs.cells(later))[1:] == [["a, 1998", "b"], ["a, 1999", "b"]]
    both = inputs.repeated([few, later], tmp_path / "both", 8)
    assert (both.rows, len(list(both.folder.iterdir()))) == (8, 3)
    given = inputs.repeated([few], tmp_path / "again", 7)
    assert given.rows == 9
    assert sum(1 for _ in open_records(given.folder)) == 9
    (tmp_path / "none.csv").write_text("text\n")
    with pytest.raises(GatewiseError, match="there are none"):
        inputs.repeated([tmp_path / "none.csv"], tmp_path / "again", 1)


def test_the_engines_write_the_same(model_folder, sentences):
    command = [sys.executable, FOLDER / "scoring_engines.py", model_folder, sentences]
    options = ["--workers", "1,2", "--rounds", "1"]
    ended = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    table = [line for line in ended.stdout.splitlines() if line.startswith("|")][2:]
    assert [line.split(" | ")[:2] for line in table] == [
        ["| reading alone", "1"],
        *(
            [f"| {engine}", str(workers)]
            for workers in (1, 2)
            for engine in ("threads", "threads, each tokenizing by itself", "processes")
        ),
    ]
    lines = subprocess.run(
        [*command, "--workers", "1", "--rounds", "1", "--suffix", ".jsonl.gz", "--json"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    runs = [run for line in lines for run in json.loads(line)["runs"]]
    assert {run["rows"] for run in runs} == {sum(1 for _ in open_records(sentences))}
    assert len({run["digest"] for run in runs[1:]}) == 1


def test_engines_that_differ_are_an_error(benchmark_module, monkeypatch):
    engines = benchmark_module("scoring_engines")
    digests = iter("abcdefgh")
    monkeypatch.setattr(
        engines,
        "run",
        lambda *_, **__: engines.Measured(1, 0.0, 1.0, 1.0, 1, next(digests)),
    )
    with pytest.raises(GatewiseError, match="one output of all engines"):
        engines.measure([], [1], 1, pinned=False)


def test_memory_is_looked_at(run, model_folder, sentences):
    few = ["--set-folder", sentences, "--rows", 1000, "--every", 200, "--workers", 1]
    result = run("scoring_memory", model_folder, *few, "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    points = document["points"]
    rows = [point["rows"] for point in points]
    assert len(points) >= 4
    assert rows == sorted(rows)
    assert rows[-1] == document["rows"] >= 1000
    assert all(point["peak"] > 2**25 and point["pss"] > 2**24 for point in points)
    assert document["largest"] == max(point["peak"] for point in points)


def test_memory_that_grows_is_told(benchmark_module):
    memory, point = benchmark_module("scoring_memory"), benchmark_module("scoring_memory_point")

    def points(*peaks):
        return [point.Point(n, float(n), peak, 1) for n, peak in enumerate(peaks, start=1)]

    flat = memory.verdict(points(50, 100, 100, 101, 100, 130))
    assert flat == memory.Verdict(largest=130, early=100, late=101)
    assert flat.flat
    assert not memory.verdict(points(50, 100, 101, 103, 104, 104)).flat
    with pytest.raises(GatewiseError, match="4 looks"):
        memory.verdict(points(1, 2, 3))
    lines = memory.in_markdown(points(2**20, 2**21))
    assert lines == ["| 1 | 1 | 1 | 0 |", "| delivered | – | 2 | 0 |"]


def test_a_run_that_is_killed_ends_the_same(run, model_folder, sentences):
    given = ["--set-folder", sentences, "--rows", 20_000, "--suffix", ".parquet"]
    # By this seed the one kill comes so early that no machine is quick enough to have ended.
    result = run("scoring_kills", model_folder, *given, "--kills", 1, "--seed", 20, "--json")
    assert result.exit_code == 0, result.stderr
    killed = json.loads(result.stdout)
    assert killed["kills"] == 1 + killed["delivering"]
    assert killed["same"]
    assert killed["same_rejects"]
    assert killed["untouched"]


def test_a_run_that_ends_before_it_is_killed_is_an_error(run, model_folder, sentences):
    # The moments are drawn over more time than such a run takes.
    arguments = ["--set-folder", sentences, "--rows", 100, "--kills", 20, "--suffix", ".csv"]
    result = run("scoring_kills", model_folder, *arguments)
    assert result.exit_code == 1
    assert "expected 20 kills before the end" in result.stderr


def test_what_differs_is_told(benchmark_module):
    kills = benchmark_module("scoring_kills")
    killed = kills.Killed(
        ".csv", 10, 1.0, 20, 3, 1, 7, same=False, same_rejects=True, untouched=True
    )
    assert not killed.good
    line = kills.in_markdown(killed)
    assert line == "| .csv | 10 | 1.0 | 20 | 3 | 16 | 1 | 7 | DIFFERENT | the same bytes |"
    head, under = kills.HEAD.splitlines()
    assert line.count("|") == head.count("|") == under.count("|")


def test_the_page_explains_every_way_and_column(benchmark_module):
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    own = page[page.index("## Scoring files") :]
    scoring, engines = benchmark_module("scoring"), benchmark_module("scoring_engines")
    for way in (scoring.BOUND, *scoring.WAYS, *engines.ENGINES):
        assert f"| {way} |" in own
    others = (benchmark_module(name) for name in ("scoring_memory", "scoring_kills"))
    for module in (scoring, engines, *others):
        for column in module.HEAD.splitlines()[0].strip("| ").split(" | "):
            assert column in own
