"""The comparison measures what its file lacks, and shows what the file has."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

FOLDER = Path(__file__).parents[2] / "benchmarks"
SMALL = (
    "--set=network.units=4",
    "--set=network.buckets=100",
    "--set=trec6:training.epochs=1",
)


@pytest.fixture(scope="module")
def accuracy(benchmark_module):
    return benchmark_module("accuracy")


@pytest.fixture(scope="module")
def figures(benchmark_module):
    return benchmark_module("figures")


@pytest.fixture(scope="module")
def peers(benchmark_module):
    return benchmark_module("peers")


@pytest.fixture
def run(accuracy, weather, tmp_path):
    """The command, on a set that is learnt in a second."""
    app = Typer()
    app.command()(accuracy.main)
    fixed = [str(weather), "--only", "trec6", "--results", str(tmp_path / "accuracy.jsonl")]

    def run(*arguments):
        return CliRunner().invoke(app, [*fixed, *arguments], catch_exceptions=False)

    return run


def test_what_is_known_is_not_measured_again(run, peers, monkeypatch, tmp_path):
    measured = []
    measure = peers.Tfidf.measure

    def counted(self, split, seed):
        measured.append((self.kind, split.name, seed))
        return measure(self, split, seed)

    monkeypatch.setattr(peers.Tfidf, "measure", counted)
    assert run("--classifiers", "svc", "--seeds", "1").exit_code == 0
    result = run("--classifiers", "lr,svc", "--seeds", "1,2")
    assert measured == [("svc", "trec6", 1), ("lr", "trec6", 1), *_second_seed()]
    assert "| TF-IDF + LinearSVC | **100.0** ± 0.0 | **100.0** |" in result.stdout
    lines = (tmp_path / "accuracy.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4
    assert set(json.loads(lines[0])) == {
        *("classifier", "set", "seed", "digest"),
        *("accuracy", "validation", "seconds", "chosen"),
    }
    # Shown from the file alone, and asked of it in any order.
    shown = run("--classifiers", "svc,lr", "--seeds", "2,1", "--table")
    assert shown.stdout == result.stdout
    assert len(measured) == 4


def _second_seed():
    return [("svc", "trec6", 2), ("lr", "trec6", 2)]


def test_other_settings_are_other_figures(run, peers, monkeypatch):
    run("--classifiers", "svc", "--seeds", "1")
    monkeypatch.setattr(peers, "SVC_GRID", (1.0,))
    assert "nothing has been measured" in run("--classifiers", "svc", "--table").stderr


def test_gatewise_is_trained_with_the_settings_given(run):
    result = run("--classifiers", "gatewise", "--seeds", "1", *SMALL)
    assert result.exit_code == 0
    assert "| Gatewise |" in result.stdout
    again = run("--classifiers", "gatewise", "--seeds", "1", "--table", *SMALL)
    assert again.stdout == result.stdout
    other = run("--classifiers", "gatewise", "--seeds", "1", "--table", "--set=network.units=5")
    assert "nothing has been measured" in other.stderr


def test_settings_of_one_set(accuracy):
    settings = ["network.units=8", "imdb:tokens.keep=tail", "network.vectors=a:b.vec"]
    found = accuracy.by_set(settings)
    assert found == {
        "": ["network.units=8", "network.vectors=a:b.vec"],
        "imdb": ["tokens.keep=tail"],
    }
    ours = accuracy.Gatewise("ours", found.pop(""), found)
    assert ours.settings("imdb")["tokens"]["keep"] == "tail"
    assert ours.settings("sst2")["tokens"]["keep"] == "head"
    assert ours.settings("sst2")["network"]["vectors"] == "a:b.vec"
    assert ours.config("sst2", 3).training.seed == 3


def test_fasttext_has_as_long_as_gatewise_took(accuracy, figures, peers, tmp_path):
    known = figures.Figures(tmp_path / "accuracy.jsonl")
    ours = accuracy.Gatewise("Gatewise")
    like_ours = accuracy.fasttext(known, ours, {"imdb": 180.0})
    assert like_ours.seconds("imdb", 1) == 180
    with pytest.raises(accuracy.GatewiseError, match="measure it first, or give"):
        like_ours.seconds("sst2", 1)
    known.add(accuracy.key("gatewise", ours, "sst2", 1), peers.Outcome(0.8, 0.8, 42.0, ""))
    assert like_ours.seconds("sst2", 1) == 42
    fixed = accuracy.fasttext(known, ours, {"": 60.0})
    assert fixed.seconds("sst2", 1) == 60
    assert fixed.settings("sst2") != like_ours.settings("sst2")


def test_what_cannot_be_had_is_told_and_left_out(run):
    result = run("--classifiers", "fasttext,embeddings,svc", "--seeds", "1", "--encoder", "nowhere")
    assert "embeddings is left out: expected nowhere/model.onnx" in result.stderr
    assert (
        "fasttext: fastText looks for" if find_spec("fasttext") else "fasttext is left out"
    ) in (result.stderr)
    assert "| TF-IDF + LinearSVC |" in result.stdout
    assert "embeddings" not in result.stdout


def test_an_unknown_name_is_one_line(run):
    result = run("--classifiers", "bert")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: expected names among gatewise, ")
    assert result.stderr.count("\n") == 1


@pytest.fixture
def cells(peers):
    def outcomes(*accuracies, seconds=1.0):
        return [peers.Outcome(a, a, seconds, "") for a in accuracies]

    return {
        ("A", "one"): outcomes(0.90, 0.92, seconds=10),
        ("A", "two"): outcomes(0.5004, 0.5004, seconds=20),
        ("B", "one"): outcomes(0.80),
        ("B", "two"): outcomes(0.5001, 0.5001),
        ("C", "one"): outcomes(0.95, 0.95),
    }


def test_the_table(figures, cells):
    assert figures.accuracies(cells, ["A", "B", "C"], ["one", "two"], seeds=2).splitlines() == [
        "| classifier | one | two | average |",
        "| --- | --: | --: | --: |",
        "| A | 91.0 ± 1.4 | **50.0** ± 0.0 | **70.5** |",
        "| B | 80.0 (1) | **50.0** ± 0.0 | 65.0 |",
        "| C | **95.0** ± 0.0 | – | – |",
    ]


def test_the_table_of_seconds(figures, cells):
    assert figures.seconds(cells, ["A", "C"], ["one", "two"]).splitlines() == [
        "| training, s | one | two |",
        "| --- | --: | --: |",
        "| A | 10 | 20 |",
        "| C | 1 | – |",
    ]


def test_the_page_explains_every_row_and_set(accuracy, figures):
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    own = page[page.index("## Accuracy") :]
    ours = accuracy.Gatewise("Gatewise")
    rows = [
        "Gatewise",
        "Gatewise, pretrained vectors",
        "TF-IDF + LinearSVC",
        "TF-IDF + LR",
        accuracy.fasttext(figures.Figures(Path("none")), ours, {}).title,
        accuracy.Embeddings.title,
    ]
    for row, name in zip(rows, accuracy.CLASSIFIERS, strict=True):
        assert f"| {row} | `{name}` |" in own
    for name in accuracy.SETS:
        assert name in own
    for option in ("--only", "--classifiers", "--seeds", "--results", "--set", "--vectors"):
        assert option in own
