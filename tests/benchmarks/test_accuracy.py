"""The points of learning curves and the sizes of models are measured once, and shown from files."""

import re
from importlib.util import find_spec

import pytest

from benchmarks.accuracy import candidates, curves, encoders, labels
from benchmarks.accuracy.draws import draw
from benchmarks.accuracy.picture import write_picture
from benchmarks.accuracy.points import Point, read_points
from benchmarks.lib import corpora
from benchmarks.lib.corpora import Corpus, Rows
from benchmarks.mobile import sizes
from gatewise.training.fit import path_solver
from tests.training.teacher.conftest import written

SMALL = ("--set=network.units=4", "--set=network.buckets=100", "--set=training.epochs=1")


@pytest.fixture
def options(data, tmp_path):
    return ["--data", data, "--sets", "trec6", "--results", tmp_path / "results", "--draws", "1,2"]


@pytest.fixture(scope="module")
def emotions():
    """A multi-label corpus in which one label is rare, and never alone."""
    kinds = [("sun", ("joy",)), ("rain", ("grief",)), ("storm", ("fear", "grief"))]
    rows = [(kinds[2] if number % 9 == 0 else kinds[number % 2], number) for number in range(180)]
    texts = tuple(f"{word} {number}" for (word, _), number in rows)
    every = Rows(texts, tuple(labels for (_, labels), _ in rows))
    return Corpus("goemotions", every, None, every)


def test_points_are_measured_once(run, options, error_of, tmp_path):
    chosen = ("--sizes", "10,all", "--only", "gatewise-small,svc,lr")
    picture = tmp_path / "curves.svg"
    tables = run(curves.main, *options, *chosen, "--name=gatewise-small", *SMALL)
    few, every = tables["accuracy, %"]
    assert (few["rows a label"], every["rows a label"]) == ("10", "all")
    assert every["TF-IDF + LinearSVC"] == every["TF-IDF + logistic regression"] == "100.0"
    assert " ± " in few["Gatewise-small"]
    # Every row is one draw, but Gatewise has another seed in each.
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "results").glob("*/*")}
    names = sorted(f"{file.parent.name}/{file.stem}" for file in files)
    assert [name for name in names if "-all-" in name] == [
        "gatewise-small/trec6-all-1",
        "gatewise-small/trec6-all-2",
        "lr/trec6-all-1",
        "svc/trec6-all-1",
    ]
    (gatewise, _) = tables["points above TF-IDF + LinearSVC (corpora)"]
    assert gatewise["all"].endswith(" (1)")
    # Shown from the files, by its name alone.
    shown = run(curves.main, *options, "--sizes", "10,all", "--table", "--picture", picture)
    assert shown["accuracy, %"][0]["gatewise-small"] == few["Gatewise-small"]
    assert "trec6" in picture.read_text(encoding="utf-8")
    run(curves.main, *options, *chosen, "--name=gatewise-small", *SMALL)
    assert files == {file: file.stat().st_mtime_ns for file in files}
    assert "expected names among gatewise" in error_of(curves.main, *options, "--only", "bert")
    assert "expected a size such as 10" in error_of(curves.main, *options, "--sizes", "few")


def test_a_size_has_one_label_on_the_axis_and_none_overlap(tmp_path):
    # Of several labels, the draws differ in rows; the second candidate has one draw alone.
    sizes = {("10", 1): 205, ("10", 2): 213, ("100", 1): 2000, ("100", 2): 2000, ("all", 1): 2050}
    points = [
        Point(0.5, candidate=name, corpus="goemotions", size=size, draw=number, rows=n, seconds=1.0)
        for name in ("svc", "lr")
        for (size, number), n in sizes.items()
        if (name, number) != ("lr", 2)
    ]
    write_picture(tmp_path / "curves.svg", points, {"svc": "SVC", "lr": "LR"})
    picture = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    shown = re.findall(r">([\d,]+)</text>", picture.partition("ytick_1")[0])
    assert shown == ["209", "2,050"]


def test_two_sizes_of_the_same_rows_are_two_points(tmp_path):
    of = {"candidate": "svc", "corpus": "clinc150", "draw": 1, "rows": 15_000, "seconds": 1.0}
    points = [Point(0.9, size="100", **of), Point(0.7, size="all", **of)]

    def picture(shown):
        write_picture(tmp_path / "curves.svg", shown, {"svc": "SVC"})
        return (tmp_path / "curves.svg").read_text(encoding="utf-8")

    assert len({picture(points), picture(points[:1]), picture(points[1:])}) == 3


def test_the_control_of_a_teacher_learns_from_its_copies(run, options, tmp_path, monkeypatch):
    encoder = written(tmp_path / "encoder")
    monkeypatch.setattr(encoders, "model_folder", lambda: encoder)
    # Neither is cross-validated: copies of one text would be on both sides.
    monkeypatch.delattr(path_solver._Solver, "held_out")
    given = (*options[:-1], "1", "--sizes", "12", *SMALL, "--set=teacher.copies=2")
    teacher = (f'--set=teacher.folders=["{encoder}"]', "--set=teacher.untaught=false")
    run(curves.main, *given, "--only=gatewise-taught", "--name=gatewise-taught", *teacher)
    run(curves.main, *given, "--only=gatewise-control", "--name=gatewise-control")
    control, taught = read_points(tmp_path / "results")
    assert control.details["rows"] == taught.details["rows"] > 2 * taught.rows
    assert 0 < control.details["int8"]["bytes"] < 50_000
    assert 0 <= taught.details["teacher"]["accuracy"] <= 1
    assert {"teacher: labelling copies", "fitting"} <= set(taught.details["seconds"])
    # What the teacher gave is needed no more.
    assert not list((tmp_path / "results" / "vectors").glob("*"))


def test_draws_are_parts_of_each_other(corpus, emotions):
    whole = corpora.read(corpus)
    few, more = (draw(whole, size, 1) for size in ("3", "30"))
    assert sorted(few.train.labels) == [("cold",)] * 3 + [("warm",)] * 3
    assert len(more.train.texts) == 60
    assert set(few.train.texts) < set(more.train.texts)
    assert set(few.train.texts) != set(draw(whole, "3", 2).train.texts)
    assert few.test == more.test == whole.test
    # The rare label comes with another, which then needs fewer rows of its own.
    labels = sorted(draw(emotions, "12", 1).train.labels)
    assert labels == [("fear", "grief")] * 12 + [("joy",)] * 12
    assert len(draw(emotions, "50rows", 1).train.texts) == 50


def test_several_labels_are_scored_by_f1(emotions, tmp_path):
    known = candidates.candidates("gatewise", [each[6:] for each in SMALL], tmp_path)
    drawn = draw(emotions, "50rows", 1)
    assert not known["fasttext"].fits(drawn)
    for name in ("svc", "lr"):
        outcome = known[name].measure(drawn)
        assert outcome.accuracy == outcome.macro_f1 == 1
    outcome = known["gatewise"].measure(drawn)
    assert 0 < outcome.macro_f1 <= 1


@pytest.mark.skipif(find_spec("fasttext") is None, reason="fastText is not installed")
def test_fasttext_searches_for_its_settings(corpus, monkeypatch, tmp_path):
    monkeypatch.setattr(candidates, "FASTTEXT_SECONDS", 1)
    fasttext = candidates.candidates("gatewise", (), tmp_path)["fasttext"]
    outcome = fasttext.measure(draw(corpora.read(corpus), "30", 2))
    assert outcome.accuracy > 0.5
    assert "wordNgrams=" in outcome.chosen


def test_sizes_are_measured(run, data, tmp_path):
    arguments = [data, "--only", "trec6", "--results", tmp_path / "results.jsonl"]
    (row,) = run(sizes.main, *arguments, "--sizes", "1MB", *SMALL)["accuracy, % (KB)"]
    assert row["corpus"] == "trec6"
    accuracy, kilobytes = row["Gatewise, 1,000 KB"].split(" ")
    assert 0 < float(accuracy) <= 100
    assert 0 < float(kilobytes.strip("()")) <= 1000


def test_the_labels_that_an_audit_finds_and_a_choice_saves(run, data):
    pytest.importorskip("cleanlab")
    options = ("--data", data, "--sets", "trec6", "--seeds", "1")
    (found,) = run(labels.wrong, *options, "--no-train")["8% of the labels swapped"]
    assert found["swapped among as many first"].endswith("%")
    (needed,) = run(labels.following, *options, "--step", "10")["labels for 95% of the accuracy"]
    assert set(labels.CHOOSERS) <= set(needed)
