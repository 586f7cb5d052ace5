"""`gatewise check` and `gatewise.check`."""

import csv
import json

import pytest

import gatewise as package

WORDS = ["river", "stone", "cloud", "apple", "tiger", "violin", "copper", "garden", "winter", "sea"]


def write(path, counts, header=("text", "label")):
    rows = [
        (f"{WORDS[n % 10]} and {WORDS[n // 10 % 10]}, {label}", label)
        for label, count in counts.items()
        for n in range(count)
    ]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def clean(tmp_path):
    return write(tmp_path / "clean.csv", {"ham": 1200, "spam": 1200})


@pytest.fixture
def severe(tmp_path):
    return write(tmp_path / "severe.csv", {"ham": 1200, "spam": 1200, "Spam": 3})


def test_a_good_corpus_ends_with_its_rows(gatewise, clean):
    code, stdout, stderr = gatewise("check", clean)
    assert (code, stderr) == (0, "")
    assert "2 labels, 2,160 train rows, 240 validation rows" in stdout
    assert "warning" not in stdout
    assert "error" not in stdout


def test_severe_findings_are_an_error(gatewise, severe):
    code, stdout, stderr = gatewise("check", severe)
    assert code == 1
    assert "error: same-labels: " in stdout
    assert f"{severe}, line 2403: 'Spam'" in stdout
    assert "warning: few-rows: " in stdout
    assert stderr == (
        f"gatewise: error: {severe}: training stops at same-labels: fix the corpus, or set "
        "corpus.check=warn\n"
    )


def test_json_has_the_numbers_and_the_place(gatewise, severe):
    code, stdout, _ = gatewise("check", severe, "--json", "--set", "corpus.check=warn")
    document = json.loads(stdout)
    assert code == 0
    assert document["rows"] == {"train": 2162, "validation": 241}
    assert document["labels"]["Spam"] == {"train": 2, "validation": 1}
    found = {each["code"]: each for each in document["findings"]}
    assert found["same-labels"]["severity"] == "error"
    assert found["same-labels"]["numbers"] == {"groups": 1, "labels": 2}
    assert found["same-labels"]["example"]["line"] == 2403


def test_columns_and_settings_are_those_of_training(gatewise, tmp_path, refused):
    corpus = write(tmp_path / "c.csv", {"a": 1200, "b": 1200}, header=("body", "topic"))
    assert "--text-column" in refused("check", corpus)
    named = ("--text-column", "body", "--label-column", "topic", "--set", "tokens.max_length=3")
    code, stdout, _ = gatewise("check", corpus, *named)
    assert code == 0
    assert "warning: truncated: " in stdout


def test_how_a_file_is_read_is_said(gatewise, tmp_path):
    rows = "".join(f"{WORDS[n % 10]} Käufer {n};{'ab'[n % 2]}\n" for n in range(200))
    corpus = tmp_path / "semicolons.csv"
    corpus.write_bytes(f"text;label\n{rows}".encode("cp1252"))
    code, stdout, _ = gatewise("check", corpus)
    assert code == 0
    assert stdout.startswith(f"{corpus}: ")
    assert "cp1252" in stdout.splitlines()[0]
    code, stdout, _ = gatewise("check", corpus, "--delimiter", ";", "--encoding", "cp1252")
    assert (code, stdout.startswith(f"{corpus}: ")) == (0, False)


def test_a_corpus_without_a_usable_row_says_why(tmp_path, refused):
    corpus = tmp_path / "lines.jsonl"
    corpus.write_text('{"text": "a"\n}\n', encoding="utf-8")
    assert f"the first bad row is at {corpus}, line 1: " in refused("check", corpus)


def test_training_stops_at_severe_findings(refused, severe, tmp_path):
    message = refused("train", severe, "--out", tmp_path / "model")
    assert message.startswith("same-labels: labels that look the same are different labels")
    assert "set corpus.check=warn" in message
    assert not (tmp_path / "model").exists()


def test_in_python(clean, severe):
    assert package.check(clean).errors == ()
    found = package.check(severe, validation=clean, max_length=3)
    assert [each.code for each in found.errors] == ["same-labels"]
    assert {"few-rows", "no-validation-rows", "truncated"} <= {each.code for each in found.findings}
