"""The accuracy of classifiers and the sizes of models are measured once, and shown from a file."""

from importlib.util import find_spec

import pytest

from benchmarks.accuracy.accuracy import main
from benchmarks.lib.classifiers import FastText, best_of
from benchmarks.lib.corpora import read
from benchmarks.mobile import sizes

SMALL = ("--set=network.units=4", "--set=network.buckets=100", "--set=training.epochs=1")


@pytest.fixture
def options(data, tmp_path):
    return [data, "--only", "trec6", "--seeds", "1", "--results", tmp_path / "results.jsonl"]


def test_classifiers_are_measured_once(run, options, error_of):
    chosen = ("--classifiers", "gatewise,svc,lr", *SMALL)
    (gatewise, svc, lr) = run(main, *options, *chosen)["accuracy"]
    assert [each["classifier"] for each in (gatewise, svc, lr)] == [
        "Gatewise",
        "TF-IDF + LinearSVC",
        "TF-IDF + LR",
    ]
    assert svc["accuracy, %"] == lr["accuracy, %"] == 100
    assert gatewise["training, s"] > 0
    file = options[-1]
    lines = file.read_text(encoding="utf-8")
    assert run(main, *options, *chosen)["accuracy"] == [gatewise, svc, lr]
    assert file.read_text(encoding="utf-8") == lines
    # Other settings are other results.
    assert run(main, *options, "--classifiers", "gatewise", "--table")["accuracy"] == []
    assert "expected names among gatewise" in error_of(main, *options, "--classifiers", "bert")


@pytest.mark.skipif(find_spec("fasttext") is None, reason="fastText is not installed")
def test_fasttext_searches_for_its_settings(corpus):
    result = FastText(1).measure(read(corpus).split(1), 2)
    assert result.accuracy > 0.5
    assert "wordNgrams=" in result.chosen


def test_the_grid_is_walked_up_until_accuracy_falls():
    scores = {1: 0.3, 2: 0.3, 3: 0.2, 4: 0.2, 5: 0.4}
    tried = []

    def fitted(c):
        tried.append(c)
        return c

    assert best_of(list(scores), fitted, scores.__getitem__) == (1, 1, 0.3)
    assert tried == [1, 2, 3, 4]


def test_sizes_are_measured(run, options):
    arguments = [each for each in options if each not in ("--seeds", "1")]
    (row,) = run(sizes.main, *arguments, "--sizes", "1MB", *SMALL)["accuracy, % (KB)"]
    assert row["corpus"] == "trec6"
    accuracy, kilobytes = row["Gatewise, 1,000 KB"].split(" ")
    assert 0 < float(accuracy) <= 100
    assert 0 < float(kilobytes.strip("()")) <= 1000
