"""The choice of texts to label: unsure ones, unlike each other, the same at every call."""

import csv
import json

import numpy as np
import pytest

import gatewise as package
from gatewise.service.model.classifier import Classifier
from gatewise.training.labelling.suggestions import choose, margins_of, ngram_vectors, suggest
from gatewise.vocab.corpus.annotation_records import SUFFIXES
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import read_texts
from gatewise.vocab.errors import ArgumentError, TextsError


@pytest.fixture(scope="module")
def classifier(multi_label_folder):
    return Classifier.load(multi_label_folder)


def test_what_the_model_is_sure_of_comes_last(classifier):
    # One `reddish` is near the threshold of red, two `blue` are far beyond that of blue.
    pool = ["blue blue", "grey", "reddish", "blue blue blue"]
    chosen = suggest(classifier, pool, 4)
    assert chosen[0].text == "reddish"
    assert [pool[each.position] for each in chosen] == [each.text for each in chosen]
    assert chosen[0].margin < min(each.margin for each in chosen[1:])
    assert chosen == suggest(classifier, pool, 4)
    assert chosen[0].label == ("red",)


def test_a_text_is_not_chosen_beside_its_copy(classifier):
    pool = ["reddish", "reddish", "reddish grey", "green"]
    assert {each.text for each in suggest(classifier, pool, 3)} == {
        "reddish",
        "reddish grey",
        "green",
    }


def test_texts_without_a_token_are_never_chosen(classifier):
    assert [each.position for each in suggest(classifier, ["", "red", " "], 5)] == [1]
    assert suggest(classifier, ["", " "], 5) == []
    assert suggest(classifier, [], 5) == []
    with pytest.raises(ArgumentError, match="1 or more"):
        suggest(classifier, ["red"], 0)


def test_margins():
    of_two = margins_of(np.array([[0.6, 0.4], [0.99, 0.01]]))
    assert of_two == pytest.approx([0.2, 0.98])
    assert margins_of(np.array([[0.6, 0.1]]), np.array([0.5, 0.5])) == pytest.approx([0.1])


def test_vectors_are_alike_for_texts_alike():
    texts = [np.array(ids) for ids in ([1, 5, 6, 7], [1, 5, 6, 7], [1, 5, 6, 8], [1, 20, 21], [1])]
    vectors = ngram_vectors(texts)
    alike = vectors @ vectors.T
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1, 1, 0])
    assert alike[0, 1] == pytest.approx(1)
    assert alike[0, 1] > alike[0, 2] > alike[0, 3]
    assert ngram_vectors([]).shape == (0, vectors.shape[1])


def test_the_second_choice_is_another_direction():
    vectors = np.array([[1, 0], [0.99, 0.141], [0, 1]], dtype=np.float32)
    assert choose(np.array([0.1, 0.11, 0.3]), vectors, 2).tolist() == [0, 2]


@pytest.fixture
def pool(tmp_path):
    path = tmp_path / "pool.csv"
    path.write_text("text\nblue blue\nreddish\ngrey green\n")
    return path


def test_the_command_prints_labels_and_texts(gatewise, multi_label_folder, pool):
    code, stdout, _ = gatewise("suggest", multi_label_folder, pool, "--n", 1)
    assert code == 0
    label, text = stdout.rstrip("\n").split("\t")
    assert (label.split()[0], text) == ("red", "reddish")


def test_the_command_writes_a_file_to_be_labelled(gatewise, multi_label_folder, pool, tmp_path):
    out = tmp_path / "next.csv"
    code, _, stderr = gatewise("suggest", multi_label_folder, pool, "--n", 2, "--out", out)
    assert (code, stderr) == (0, f"gatewise: wrote 2 of 3 texts to {out}\n")
    with out.open(newline="") as file:
        first, *_ = rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert (first["text"], first["line"], first["label"]) == ("reddish", "3", "")


def test_the_command_writes_what_a_tool_imports(gatewise, multi_label_folder, pool, tmp_path):
    out = tmp_path / "next.jsonl"
    arguments = ("suggest", multi_label_folder, pool, "--out", out, "--format", "prodigy")
    assert gatewise(*arguments)[0] == 0
    tasks = [json.loads(line) for line in out.read_text().splitlines()]
    assert tasks[0]["accept"] == ["red"]
    assert [option["id"] for option in tasks[0]["options"]] == ["blue", "green", "red"]
    # What it wrote may be a pool again.
    assert list(read_texts(out, bad_rows=StopAtBadRows())) == [task["text"] for task in tasks]
    code, _, stderr = gatewise("suggest", multi_label_folder, pool, "--format", "prodigy")
    assert code == 2
    assert "--out" in stderr


@pytest.mark.parametrize("options", [(), *(("--format", tool) for tool in SUFFIXES)], ids=str)
def test_a_file_name_need_not_be_unicode(gatewise, multi_label_folder, pool, tmp_path, options):
    renamed = pool.rename(tmp_path / "f\udcfcr.csv")
    out = tmp_path / "next.txt"
    code, _, stderr = gatewise("suggest", multi_label_folder, renamed, "--out", out, *options)
    assert code == 0, stderr
    assert "f\N{REPLACEMENT CHARACTER}r.csv" in out.read_text(encoding="utf-8")


def test_in_python_a_model_or_its_folder(multi_label_folder):
    pool = ["blue blue", "reddish"]
    (first,) = package.suggest(multi_label_folder, pool, 1)
    assert first == package.suggest(package.load(multi_label_folder), pool, n=1)[0]
    assert first.position == 1
    with pytest.raises(TextsError):
        package.suggest(multi_label_folder, "reddish")
