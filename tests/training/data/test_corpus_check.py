"""Each finding of the check, with a file that provokes it."""

import csv
import json
import tracemalloc

import pytest

from gatewise.training import preparation
from gatewise.training.config import config
from gatewise.training.data.corpora import Corpora
from gatewise.training.data.corpus_check import never_predicted
from gatewise.training.data.corpus_findings import refuse
from gatewise.training.pipeline import check_corpus
from gatewise.vocab.errors import CorpusError
from gatewise.vocab.tokenizer.encoding import Encoder

WORDS = ["river", "stone", "cloud", "apple", "tiger", "violin", "copper", "garden", "winter", "sea"]


def text(number):
    return f"{WORDS[number % 10]} and {WORDS[number * 7 % 10]} by the {WORDS[number // 10 % 10]}"


def rows_of(counts=(), **more):
    """Rows of each label, one label after the other; every word is in many of them."""
    return [
        (text(n), label) for label, count in {**dict(counts), **more}.items() for n in range(count)
    ]


def write(path, rows, header=("text", "label")):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


COPIES = ("duplicates", "contradicting-labels")
"""Findings about texts that occur more than once, as most of `rows_of` do."""


@pytest.fixture
def check(tmp_path):
    """Checks rows as `train.csv`: the findings by their code, without those about copies."""

    def checked(rows, *assignments, header=("text", "label"), **others):
        corpora = {name: write(tmp_path / f"{name}.csv", more) for name, more in others.items()}
        train = write(tmp_path / "train.csv", rows, header)
        found = check_corpus(Corpora(train, **corpora), config.load(assignments=assignments))
        return {each.code: each for each in found.findings if each.code not in COPIES}

    return checked


GOOD = rows_of(joy=1200, love=1200)


def test_a_good_corpus_has_no_finding(check):
    assert check(GOOD) == {}


@pytest.mark.parametrize(
    ("variant", "shown"),
    [
        ("Joy", "'Joy'"),
        (" joy ", "' joy '"),
        ("jo\u200by", r"'jo\u200by'"),
        ("ｊｏｙ", "'ｊｏｙ'"),
    ],
)
def test_labels_that_look_the_same(check, variant, shown):
    found = check([*GOOD, *rows_of({variant: 10})])["same-labels"]
    assert found.severity == "error"
    assert found.numbers == {"groups": 1, "labels": 2}
    assert f"{shown} (10 rows)" in found.message
    assert "'joy' (1,200 rows)" in found.message
    assert (found.example.file[-9:], found.example.shown) == ("train.csv", shown)
    # The line is that of a row with the rare one.
    assert 2402 <= found.example.line <= 2411


def test_labels_of_two_unicode_forms_are_distinguished(check):
    found = check([*GOOD, *rows_of({"caf\u00e9": 100, "cafe\u0301": 10})])["same-labels"]
    assert r"'cafe\u0301' (10 rows) and 'caf\xe9' (100 rows)" in found.message


@pytest.mark.parametrize("written", ["joy|love", "joy, love"])
def test_lists_written_as_text(check, written):
    found = check([*GOOD, *rows_of({written: 100})])["listed-labels"]
    assert found.severity == "error"
    assert "1 of 3 labels is a list of labels" in found.message
    assert repr(written) in found.message
    assert found.numbers == {"labels": 1, "labels_in_lists": 2}
    assert "corpus.task=multi_label" in found.advice


def test_labels_with_separators_are_no_lists(check):
    labels = {"rock, paper": 1200, "(none)": 1200, "C++ | other": 1200}
    assert "listed-labels" not in check(rows_of(labels))


def test_many_labels(check):
    rows = [(text(n), f"order {n}") for n in range(60)]
    found = check([*rows, *rows[:20]])["many-labels"]
    assert found.severity == "error"
    assert found.numbers == {"labels": 60, "rows": 80, "single": 40}
    twice = check([*rows, *rows])["many-labels"]
    assert twice.severity == "warning"
    few = check(rows_of(joy=2, love=2))["many-labels"]
    assert few.severity == "warning"


def test_few_rows(check):
    found = check([*GOOD, *rows_of(anger=4, fear=5)])["few-rows"]
    assert found.severity == "warning"
    assert found.message == "1 of 4 labels has fewer than 5 rows: 'anger' (4 rows)"
    assert found.numbers == {"labels": 1, "fewest": 4}
    # Rows of a validation corpus are not trained on.
    found = check([*GOOD, *rows_of(anger=4)], validation=rows_of(joy=300, love=300, anger=300))
    assert found["few-rows"].numbers == {"labels": 1, "fewest": 4}


def test_labels_that_share_their_parts_look_like_lists(check):
    grid = [f"{first};{second}" for first in ("neg", "pos") for second in ("x", "y")]
    found = check(rows_of(dict.fromkeys(grid, 60)))["listed-labels"]
    assert found.severity == "warning"
    assert found.numbers == {"labels": 4, "labels_in_lists": 4}
    places = rows_of({"Paris, France": 600, "Lyon, France": 600, "Rome, Italy": 600})
    assert "listed-labels" not in check(places)


@pytest.mark.parametrize(
    ("contradicting", "severity"), [(1, "note"), (20, "warning"), (400, "error")]
)
def test_contradicting_labels_by_their_share(tmp_path, contradicting, severity):
    rows = [(f"{text(n)} {n}", ("joy", "love")[n % 2]) for n in range(2000)]
    more = [(words, "love") for words, label in rows if label == "joy"][:contradicting]
    found = check_corpus(Corpora(write(tmp_path / "train.csv", [*rows, *more])), config.load())
    (finding,) = (each for each in found.findings if each.code == "contradicting-labels")
    assert (finding.severity, finding.numbers["rows"]) == (severity, 2 * contradicting)
    assert "has 'joy' at " in finding.message
    assert "train.csv, line 2002" in finding.message


def test_labels_that_no_training_row_has(check):
    more = [*rows_of(joy=150, love=150), ("so so 1", "anger"), ("so so 2", "fear")]
    found = check(GOOD, validation=more)["unknown-labels"]
    assert found.severity == "warning"
    assert "2 rows of validation with labels that no training row has" in found.message
    assert "'anger' (1 row), 'fear' (1 row); they are left out" in found.message
    assert found.example.line == 302


def test_a_label_without_validation_rows(check):
    found = check([*GOOD, *rows_of(anger=400)], validation=rows_of(joy=150, love=150))
    assert found["no-validation-rows"].numbers == {"labels": 1}
    assert "'anger'" in found["no-validation-rows"].message
    assert found["no-validation-rows"].example.line == 2402


def test_skew(check):
    rows = rows_of(positive=2000, negative=200)
    found = check(rows, "training.class_weights=none")["skew"]
    assert found.severity == "warning"
    assert found.message == (
        "'positive' has 1,800 rows, 'negative' 180 rows; training.class_weights=none leaves them "
        "as they are"
    )
    assert found.numbers == {"most": 1800, "fewest": 180, "majority_share": 0.9091}
    balanced = check(rows, "training.sampling=balanced")["skew"]
    assert (balanced.severity, balanced.advice) == ("note", "")
    assert balanced.message.endswith("training.sampling=balanced balances them")
    automatic = check(rows)["skew"]
    assert (automatic.severity, automatic.advice) == ("note", "")
    assert automatic.message.endswith("training.class_weights=balanced balances them")


def test_texts_that_are_truncated(check):
    long = [(f"{text(n)} " * 10, "joy") for n in range(300)]
    found = check([*GOOD, *long], "tokens.max_length=13")["truncated"]
    assert found.severity == "warning"
    assert found.numbers["texts"] == 270
    assert found.numbers["share"] == pytest.approx(270 / 2430, abs=1e-4)
    # Twelve of sixty words are read.
    assert found.numbers["unread"] == pytest.approx(0.8, abs=0.02)
    assert "tokens.max_length=13; 80% of their characters are not read" in found.message
    tail = check([*GOOD, *long], "tokens.max_length=13", "tokens.keep=tail")["truncated"]
    assert tail.numbers["unread"] == pytest.approx(0.8, abs=0.02)
    few = check([*GOOD, *long[:20]], "tokens.max_length=13")["truncated"]
    assert few.severity == "note"


def test_unknown_words(check):
    unseen = [(f"unheard{n} unseen{n} {text(n)}", "joy") for n in range(300)]
    found = check(GOOD, "tokens.unit=word", validation=[*unseen, (text(0), "love")])
    numbers = {"tokens": 2406, "unknown": 600, "in_pieces": 0}
    assert found["unknown-words"].numbers == numbers
    assert found["unknown-words"].message.startswith("25% of the 2,406 tokens")


def test_words_in_pieces_are_unknown_words(check):
    # Cut as river and ##er, stone and ##er, …; the dictionary has no z inside a word.
    unseen = [(f"{WORDS[n % 8]}er seaz {text(n)}", "joy") for n in range(300)]
    found = check(GOOD, "tokens.unit=word", validation=[*unseen, (text(0), "love")])
    found = found["unknown-words"]
    assert found.numbers == {"tokens": 2406, "unknown": 600, "in_pieces": 300}
    assert found.message.endswith("in the dictionary; 12% are words that are read as pieces")


def test_few_validation_rows(check):
    found = check(rows_of(joy=250, love=250))["few-validation-rows"]
    assert found.severity == "warning"
    assert found.numbers == {"rows": 50, "low": 0.6696, "high": 0.8876}
    assert "67% to 89%" in found.message


@pytest.mark.parametrize(
    ("code", "values"),
    [
        ("number-texts", ["17", "2024-05-01", "1,200.50 €"]),
        ("id-texts", ["INV-2024-0017", "550e8400-e29b-41d4-a716-446655440000", "user8812"]),
    ],
)
def test_texts_without_words(check, code, values):
    rows = [(values[n % 3], "ab"[n % 2]) for n in range(1200)]
    found = check(rows)[code]
    assert (found.severity, found.numbers) == ("error", {"rows": 1200, "share": 1.0})
    assert found.example.shown == repr(values[0])
    assert "'text'" in found.advice
    some = check([*GOOD, *rows[:300]])[code]
    assert some.severity == "warning"


def test_rows_that_cannot_be_used(check):
    found = check([*GOOD, ("", "joy"), (" ", "love"), ("text", ""), ("\x01", "joy")])["bad-rows"]
    assert (found.severity, found.numbers) == ("error", {"rows": 4})
    assert "the text is missing" in found.message
    assert (found.example.line, found.example.shown) == (2402, "',joy'")
    assert found.advice == "Fix these rows, or write them to a rejects file when training"


def test_a_label_that_is_never_predicted():
    predictions, reviewed = {"neg": 0, "pos": 66, "rest": 0}, {"neg": 6, "pos": 60, "rest": 0}
    (found,) = never_predicted(predictions, reviewed, "validation", config.load())
    assert found.message == ("1 of 3 labels is predicted for no validation row: 'neg' (6 rows)")
    assert "training.class_weights=balanced" in found.advice
    assert never_predicted({"neg": 1}, {"neg": 6}, "test", config.load()) == []


def test_several_labels_a_text(check):
    rows = [(text(n), "joy|love" if n % 2 else "joy") for n in range(2400)]
    header = ("text", "labels")
    assert check(rows, header=header) == {}
    rows += [(text(n), "['joy', 'love']") for n in range(2400, 2500)]
    assert check(rows, header=header) == {}


def test_a_finding_as_json_and_in_one_line(check):
    found = check(rows_of(joy=1200, Joy=1200))["same-labels"]
    document = json.loads(json.dumps(found.as_dict(with_folder=False)))
    assert list(document) == ["code", "severity", "message", "numbers", "advice", "example"]
    assert document["example"] == {"file": "train.csv", "line": 1202, "shown": "'Joy'"}
    line = str(found)
    assert line.startswith("same-labels: labels that look the same")
    assert "train.csv, line 1202: 'Joy'). Write each label in one way" in line
    assert "\n" not in line


def test_duplicates_are_reported_without_being_severe(tmp_path):
    path = write(tmp_path / "train.csv", [*GOOD, *GOOD[:1]])
    found = check_corpus(Corpora(path), config.load())
    (duplicates,) = (each for each in found.findings if each.code == "duplicates")
    assert duplicates.severity == "note"
    assert "repeat an earlier one exactly" in duplicates.message


@pytest.mark.parametrize("setting", ["stop", "warn", "ignore"])
def test_severe_findings_stop_a_run_unless_they_are_allowed(tmp_path, setting):
    path = write(tmp_path / "train.csv", rows_of(joy=1200, Joy=1200))
    settings = config.load(assignments=[f"corpus.check={setting}"])
    found = check_corpus(Corpora(path), settings)
    assert bool(found.errors) == (setting != "ignore")
    if setting == "stop":
        with pytest.raises(CorpusError, match=r"same-labels: .*set corpus\.check=warn"):
            refuse(found.findings, settings)
    else:
        refuse(found.findings, settings)


def test_the_most_severe_come_first(tmp_path):
    path = write(tmp_path / "train.csv", rows_of(joy=40, Joy=40))
    found = check_corpus(Corpora(path), config.load())
    severities = [each.severity for each in found.findings]
    assert severities == sorted(severities, key=("error", "warning", "note").index)
    document = found.as_dict()
    assert document["rows"] == {"train": 72, "validation": 8}
    assert document["labels"]["joy"] == {"train": 36, "validation": 4}


def test_memory_does_not_grow_with_the_number_of_long_texts(tmp_path):
    rows = [(f"{text(n)} " * 40_000, "ab"[n % 2]) for n in range(24)]
    assert len(rows[0][0]) > 900_000
    peaks = []
    # The first is to make what is made once, such as the classes of characters.
    for count in (4, 6, 24):
        path = write(tmp_path / "train.csv", rows[:count])
        tracemalloc.start()
        # The search for duplicates has a buffer of 16 MB, whatever the texts.
        found = check_corpus(Corpora(path), config.load(assignments=["corpus.duplicates=ignore"]))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.2 * peaks[1]
    (truncated,) = (each for each in found.findings if each.code == "truncated")
    assert truncated.numbers["texts"] == 22
    assert truncated.numbers["unread"] == pytest.approx(1 - 511 / 240_000, abs=1e-3)


@pytest.mark.parametrize("words", ["so it is said by\n", "그렇게 그는 말했다 "])
def test_only_the_beginning_of_a_long_text_reaches_the_tokenizer(tmp_path, words, monkeypatch):
    tokenized = []
    train, encode = preparation.train_tokenizer, Encoder.encode

    def train_counting(texts, **options):
        texts = list(texts)
        tokenized.extend(map(len, texts))
        return train(texts, **options)

    def encode_counting(self, texts):
        tokenized.extend(map(len, texts))
        return encode(self, texts)

    monkeypatch.setattr(preparation, "train_tokenizer", train_counting)
    monkeypatch.setattr(Encoder, "encode", encode_counting)
    rows = [(f"{n} {words * 20_000}", "ab"[n % 2]) for n in range(24)]
    check_corpus(Corpora(write(tmp_path / "train.csv", rows)), config.load())
    assert len(tokenized) == 22 + 24
    assert max(tokenized) < 4200
