"""The audit of a corpus: swapped labels are found, and what is written is whole."""

import csv
import json
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import gatewise as package
from gatewise.training.labelling.audit import PAGE, TABLE
from gatewise.vocab.corpus.annotation_records import SUFFIXES
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import read_rows
from gatewise.vocab.corpus.records import Location
from gatewise.vocab.errors import CorpusError, GatewiseError, OutputError

pytest.importorskip("cleanlab")

WORDS = {
    "bird": ["wing", "nest", "beak", "feather"],
    "car": ["wheel", "engine", "brake", "seat"],
    "tree": ["leaf", "root", "bark", "branch"],
}
TIMES = ["monday", "friday", "noon", "winter", "evening"]
SWAPPED = (7, 31, 52)


@pytest.fixture(scope="module")
def rows():
    found = [
        (f"a {word} seen at {time} with {other}", label)
        for label, words in WORDS.items()
        for word in words
        for other in words
        for time in TIMES
    ]
    found = [found[row] for row in np.random.default_rng(0).permutation(len(found))]
    names = sorted(WORDS)
    for row in SWAPPED:
        text, label = found[row]
        found[row] = (text, names[(names.index(label) + 1) % 3])
    return found


@pytest.fixture(scope="module")
def audited(rows):
    texts, labels = zip(*rows, strict=True)
    copy = (rows[0][0].upper(), rows[0][1])
    return package.audit(list(texts), list(labels), test=([copy[0]], [copy[1]]))


def test_swapped_labels_are_the_most_doubtful(audited, rows):
    first = audited.rows[: len(SWAPPED)]
    assert {row.line for row in first} == set(SWAPPED)
    # How many there are is estimated, rather too low than too high.
    suspects = audited.suspects
    assert 1 <= len(suspects) <= len(SWAPPED) + 2
    assert suspects == audited.rows[: len(suspects)]
    names = sorted(WORDS)
    for row in first:
        assert names.index(row.labels[0]) == (names.index(row.suggested[0]) + 1) % 3
    scores = [row.score for row in audited.rows]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == len(rows)
    assert sum(pair.rows for pair in audited.confused) >= len(SWAPPED)


def test_a_copy_of_a_test_row_is_leakage(audited):
    assert audited.duplicates.overlaps["test", "train"].exact == 1
    assert "1 of 1 test rows repeat a train row exactly" in audited.duplicates.summary()
    assert "validation" not in audited.duplicates.rows


def test_validation_rows_are_searched_for_copies_and_not_audited(rows):
    texts, labels = map(list, zip(*rows[:60], strict=True))
    found = package.audit(texts, labels, validation=(texts[:2], labels[:2]))
    assert sorted(row.line for row in found.rows) == list(range(60))
    assert found.duplicates.overlaps["validation", "train"].exact == 2
    assert "exact copy" in found.page()


def test_the_folder_has_a_page_every_row_and_the_doubtful_ones_for_a_tool(audited, rows, tmp_path):
    folder = tmp_path / "audit"
    audited.save(folder, "label-studio")
    with (folder / TABLE).open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [int(row["line"]) for row in table[:3]] == [row.line for row in audited.rows[:3]]
    assert [row["suspect"] for row in table].count("true") == len(audited.suspects)
    again = {row.text: row.label for row in read_rows(folder / TABLE, bad_rows=StopAtBadRows())}
    assert again == dict(rows)
    tasks = json.loads((folder / "label-studio.json").read_text())
    assert [task["data"]["text"] for task in tasks] == [row.text for row in audited.suspects]
    page = (folder / PAGE).read_text()
    assert f"{len(audited.suspects)} of {len(rows)} rows may have a wrong label" in page
    assert audited.rows[0].text in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
    # An earlier audit is replaced, with what belongs to it.
    audited.save(folder)
    assert {file.name for file in folder.iterdir()} == {PAGE, TABLE}
    assert list(tmp_path.iterdir()) == [folder]


def test_a_file_name_need_not_be_unicode(audited, tmp_path):
    name = "f\udcfcr.csv"
    copies = [
        replace(copy, rows=tuple(replace(row, location=Location(name, 2)) for row in copy.rows))
        for copy in audited.copies
    ]
    assert copies
    rows = tuple(replace(row, file=name) for row in audited.rows)
    renamed = replace(audited, rows=rows, copies=tuple(copies))
    for tool in SUFFIXES:
        renamed.save(tmp_path / "audit", tool)
        for file in (tmp_path / "audit").iterdir():
            assert "f\N{REPLACEMENT CHARACTER}r.csv" in file.read_text(encoding="utf-8")


def test_a_folder_of_something_else_is_not_touched(audited, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(OutputError, match="not the folder of an audit"):
        audited.save(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["letter.txt"]
    with pytest.raises(OutputError, match="there is no folder"):
        audited.save(tmp_path / "none" / "audit")


def test_conflicting_copies_and_labels_with_a_single_row(rows):
    texts, labels = map(list, zip(*rows[:60], strict=True))
    long = "one rather long text about a bird that is sitting on its nest all day until {}"
    texts += [texts[0], long.format("noon"), long.format("night"), "alone"]
    labels += ["tree" if labels[0] != "tree" else "car", "bird", "car", "rare"]
    found = package.audit(texts, labels)
    kinds = [(copy.kind, *(row.location.line for row in copy.rows)) for copy in found.conflicts]
    assert kinds == [("conflict", 0, 60), ("near-conflict", 61, 62)]
    assert found.single == ("rare",)
    (alone,) = (row for row in found.rows if row.text == "alone")
    assert (alone.score, alone.is_suspect) == (0, False)
    assert "near duplicate with another label" in found.page()


def test_several_labels_a_text(rows):
    texts, labels = zip(*rows, strict=True)
    both = [f"{one} and {other}" for one, other in pairwise(texts)]
    sets = [sorted({one, other}) for one, other in pairwise(labels)]
    sets[11] = [label for label in WORDS if label not in sets[11]]
    found = package.audit(both, sets)
    assert found.multi_label
    assert 11 in [row.line for row in found.rows[:8]]
    assert "Most confused pairs" in found.page()


def test_two_audits_are_alike(audited, rows):
    texts, labels = zip(*rows, strict=True)
    copy = (rows[0][0].upper(), rows[0][1])
    again = package.audit(list(texts), list(labels), test=([copy[0]], [copy[1]]))
    assert again.rows == audited.rows
    assert again.page() == audited.page()


def test_a_few_rows_are_audited_as_far_as_there_is_something_to_fit():
    found = package.audit(["a fine film", "a poor film", "a fine book"], ["good", "bad", "good"])
    assert sorted(row.line for row in found.rows) == [0, 1, 2]
    assert all(0 <= row.score <= 1 for row in found.rows)


@pytest.mark.parametrize("labels", [["good", "bad"], [["good"], ["bad", "long"]]])
@pytest.mark.parametrize("validated", [False, True])
def test_labels_with_a_single_row_each_are_refused_with_or_without_validation_rows(
    labels, validated
):
    texts = ["a fine film", "a poor film"]
    validation = (texts, labels) if validated else None
    with pytest.raises(CorpusError, match="others of its label: give more rows") as caught:
        package.audit(texts, labels, validation=validation)
    assert caught.value.option is None


def test_a_teacher_among_the_settings_has_no_part_in_an_audit():
    texts, labels = ["a fine film", "a poor film", "a film"], [["good"], ["bad"], ["good", "bad"]]
    found = package.audit(texts, labels, teacher={"folders": ["encoder"]})
    assert len(found.rows) == 3


def test_probabilities_are_refused():
    with pytest.raises(GatewiseError, match="expected labels to audit"):
        package.audit(["a", "b"], [[0.5, 0.5], [0.1, 0.9]])


def test_the_command_writes_the_folder_and_prints_the_first_rows(gatewise, rows, tmp_path):
    corpus, out = tmp_path / "rows.csv", tmp_path / "audit"
    with corpus.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    command = ("audit", "rows.csv", "--out", "audit", "--format", "prodigy")
    code, stdout, _ = gatewise(*command, cwd=tmp_path)
    assert code == 0
    assert f"rows.csv, line {SWAPPED[0] + 2}" in stdout
    assert "rows may have a wrong label" in stdout
    assert {file.name for file in out.iterdir()} == {PAGE, TABLE, "prodigy.jsonl"}
    code, _, stderr = gatewise("audit", corpus, "--out", tmp_path)
    assert code == 1
    assert "not the folder of an audit" in stderr


def test_without_cleanlab_the_extra_is_named(gatewise, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    code, _, stderr = gatewise("audit", tmp_path / "rows.csv", "--out", tmp_path / "audit")
    assert code == 1
    assert "pip install 'gatewise[audit]'" in stderr
