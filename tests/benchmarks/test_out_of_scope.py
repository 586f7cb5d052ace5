"""The benchmark of rows out of scope joins the rows that it says, and its page shows its table."""

import csv
import importlib
import re
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def out_of_scope():
    sys.path.insert(0, str(FOLDER))
    try:
        yield importlib.import_module("out_of_scope")
    finally:
        sys.path.remove(str(FOLDER))


def test_the_two_ways_differ_in_what_is_learnt_from_alone(out_of_scope, tmp_path):
    for part in ("train", "valid", "test"):
        for name, label in ((part, "a"), (f"oos_{part}", "oos")):
            with (tmp_path / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([("text", "label"), (f"{name}, a text", label)])
    ways = out_of_scope.corpora(tmp_path, tmp_path / "joined")
    alone, learnt = ways[out_of_scope.BY_THRESHOLD], ways[out_of_scope.LEARNT]
    assert (alone.validation, alone.test) == (learnt.validation, learnt.test)

    def labels(path):
        with path.open(encoding="utf-8", newline="") as file:
            return [row["label"] for row in csv.DictReader(file)]

    assert labels(alone.train) == ["a"]
    assert labels(learnt.train) == labels(learnt.validation) == labels(learnt.test) == ["a", "oos"]


def test_thresholds_are_chosen_on_validation_rows(
    out_of_scope, rejecting_folder, tmp_path, monkeypatch
):
    from gatewise.service.model.classifier import Classifier

    classifier = Classifier.load(rejecting_folder)
    sure, unsure = "Bitte geben Sie eine gültige Adresse ein.", "1 2"
    rows = [("text", "label"), *[(sure, "de")] * 3, (unsure, "oos"), (sure, "oos")]
    path = tmp_path / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    corpora = out_of_scope.Corpora(path, path, path)
    most_right, in_scope = out_of_scope.by_validation(classifier, corpora)
    assert most_right == in_scope == out_of_scope.Figures(1.0, 0.5)
    # No threshold leaves more right than there are: it is the one that refuses nothing.
    monkeypatch.setattr(out_of_scope, "IN_SCOPE", 1.1)
    assert out_of_scope.by_validation(classifier, corpora)[1] == out_of_scope.Figures(1.0, 0.0)


def test_the_page_shows_its_table(out_of_scope):
    shares = [(0.5, 0.25), (0.75, 0.125), (1.0, 0.0)]
    figures = [tuple(out_of_scope.Figures(*share) for share in shares)]
    ways = (out_of_scope.BY_THRESHOLD, out_of_scope.LEARNT)
    table = out_of_scope.table(dict.fromkeys(ways, figures))
    assert table.count("| 50.0 | 25.0 |") == table.count("| 75.0 | 12.5 |") == 2
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    section = page.partition("## Out of scope")[2].partition("\n## ")[0]
    first = [re.findall(r"^\| (.*?) \|", text, re.MULTILINE) for text in (table, section)]
    assert first[0] == first[1]
    published = [line for line in table.splitlines() if "Gatewise" not in line]
    assert all(line in section for line in published)
