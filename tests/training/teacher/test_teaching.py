"""What the network learns from: rows, copies and unlabelled texts, labelled by teachers."""

import json
from pathlib import Path

import numpy as np
import pytest

from gatewise.training.config import config
from gatewise.training.config.config import ConfigError
from gatewise.training.data.corpora import Corpora, read
from gatewise.training.fit.progress import Finding
from gatewise.training.teacher import teaching
from gatewise.training.teacher.frozen_encoder import FrozenEncoder
from gatewise.training.teacher.labeller import Labeller, check_teachers
from gatewise.training.teacher.teacher import TeacherError
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.errors import CorpusError


@pytest.fixture
def corpus(write_csv, topic_rows, tmp_path):
    train = write_csv(tmp_path / "train.csv", topic_rows("train", 20, 1))
    return Corpora(train, test=write_csv(tmp_path / "test.csv", topic_rows("test", 10, 2)))


@pytest.fixture
def teach(tmp_path):
    """Reads and labels the rows of a corpus; returns the rows, the result and the findings."""

    def taught(corpora, *assignments, folders, unlabelled=(), cache="cache", reported=None):
        settings = config.load(assignments=["corpus.duplicates=ignore", *assignments]).taught_by(
            folders, unlabelled
        )
        reported = [] if reported is None else reported
        rows = read(corpora, settings, StopAtBadRows(), tmp_path)
        file = tmp_path / "taught.arrow"
        found = teaching.teach(
            rows, settings, StopAtBadRows(), file, tmp_path / cache, reported.append
        )
        return rows, found, [each.message for each in reported if isinstance(each, Finding)]

    return taught


def learnt(found):
    return list(found.rows.train)


def test_copies_are_labelled_by_what_the_teacher_knows(corpus, teach, encoder):
    rows, found, reported = teach(corpus, "teacher.copies=5", folders=[encoder])
    counts, all_rows = found.counts, learnt(found)
    assert (counts.rows, counts.copies) == (len(rows.train), 5)
    assert 0 < counts.copied <= 5 * len(rows.train)
    assert len(all_rows) == counts.texts == counts.rows + counts.copied
    # Words that the corpus does not have came from the encoder, with the labels of their topic.
    new = [row for row in all_rows if "tomato" in row.text.split() and len(row.text.split()) < 5]
    assert new
    assert all(row.labels == ("food",) for row in new)
    for row in all_rows:
        assert sum(row.probabilities) == pytest.approx(1)
        if row.labels:
            assert rows.labels.names[int(np.argmax(row.probabilities))] == row.labels[0]
    assert any("5 changed copies of each text" in line for line in reported)


def test_no_copy_is_a_validation_or_test_text_or_occurs_twice(corpus, teach, encoder):
    rows, found, _ = teach(corpus, "teacher.copies=20", folders=[encoder])
    texts = [row.text.lower() for row in learnt(found)]
    others = {row.text.lower() for part in (rows.validation, rows.test) for row in part}
    assert not set(texts[found.counts.rows :]) & {*others, *texts[: found.counts.rows]}
    assert len(set(texts[found.counts.rows :])) == found.counts.copied
    # Those are as they were, with their true labels.
    assert [*found.rows.validation] == [*rows.validation]
    assert all(row.probabilities is None for row in found.rows.validation)


def test_a_share_of_the_true_label_is_in_the_target_of_a_row(corpus, teach, encoder):
    """With a temperature so high that the teacher's own share is almost even."""
    rows, found, _ = teach(
        corpus,
        "teacher.copies=0",
        "teacher.temperature=20",
        "teacher.hard_share=0.4",
        folders=[encoder],
    )
    for row in learnt(found):
        target = dict(zip(rows.labels.names, row.probabilities, strict=True))
        assert target[row.label] == pytest.approx(0.4 + 0.6 / 3, abs=0.1)
        assert min(target.values()) == pytest.approx(0.6 / 3, abs=0.1)


def test_the_same_seed_gives_the_same_rows_and_no_text_is_read_twice(
    corpus, teach, encoder, monkeypatch
):
    first = learnt(teach(corpus, "teacher.copies=3", folders=[encoder])[1])
    monkeypatch.setattr(FrozenEncoder, "vectors", None)
    assert learnt(teach(corpus, "teacher.copies=3", folders=[encoder])[1]) == first
    softer = learnt(
        teach(corpus, "teacher.copies=3", "teacher.temperature=2", folders=[encoder])[1]
    )
    assert [row.text for row in softer] == [row.text for row in first]
    monkeypatch.undo()
    other = learnt(teach(corpus, "teacher.copies=3", "training.seed=2", folders=[encoder])[1])
    assert {row.text for row in other} != {row.text for row in first}


def test_unlabelled_texts_are_new_and_like_the_corpus(corpus, teach, encoder, topic_rows, tmp_path):
    file = tmp_path / "texts.txt"
    rows = topic_rows("train", 60, 5)
    known = [text for text, _ in rows[:3]] * 2
    unlike = [f"zork {number} quux blub xyzzy" for number in range(5)]
    file.write_text("\n".join([*(text for text, _ in rows), *known, *unlike]))
    _, found, reported = teach(corpus, "teacher.copies=0", folders=[encoder], unlabelled=[file])
    counts = found.counts.unlabelled
    assert counts.read == len(rows) + 6 + 5
    assert counts.unlike >= 5
    assert counts.known >= 6
    assert counts.used > 0
    labels = dict(rows)
    used = learnt(found)[found.counts.rows :]
    assert len(used) == counts.used
    assert all(row.labels == (labels[row.text],) for row in used)
    assert str(counts) in reported


def test_copies_end_with_the_time_and_a_later_run_makes_as_many(
    corpus, teach, encoder, monkeypatch
):
    def slow(seconds):
        ticks = iter(range(1_000_000))
        return lambda *args: Labeller(*args, clock=lambda: seconds * next(ticks))

    monkeypatch.setattr(teaching, "Labeller", slow(2))
    settings = ("teacher.copies=20", "teacher.minutes=0.5")
    _, found, reported = teach(corpus, *settings, folders=[encoder])
    assert 0 < found.counts.copies < 20
    assert any(f"time for {found.counts.copies} of 20 copies" in line for line in reported)
    monkeypatch.setattr(teaching, "Labeller", slow(0))
    _, again, _ = teach(corpus, *settings, folders=[encoder])
    assert again.counts == found.counts
    assert learnt(again) == learnt(found)
    monkeypatch.setattr(teaching, "Labeller", slow(60))
    with pytest.raises(TeacherError, match=r"teacher\.minutes=0\.5: .*about .* allow more"):
        teach(corpus, *settings, folders=[encoder], cache="other")


def test_texts_that_were_read_before_take_no_time(
    corpus, teach, encoder, write_csv, topic_rows, tmp_path, monkeypatch
):
    teach(corpus, "teacher.copies=0", folders=[encoder])
    ticks = iter(range(1_000_000))
    monkeypatch.setattr(
        teaching, "Labeller", lambda *args: Labeller(*args, clock=lambda: 2 * next(ticks))
    )
    more = [*topic_rows("train", 20, 1), ("an unheard of bread", "food")]
    grown = Corpora(write_csv(tmp_path / "grown.csv", more), test=corpus.test)
    # At the two seconds that the new text takes, the others would take more than half a minute.
    _, found, _ = teach(grown, "teacher.copies=0", "teacher.minutes=0.5", folders=[encoder])
    assert (found.labeller.texts, found.labeller.seconds) == (1, 2)


def test_a_file_of_unlabelled_texts_that_grew_is_read_to_its_end(
    corpus, teach, encoder, topic_rows, tmp_path
):
    file = tmp_path / "texts.txt"
    texts = [text for text, _ in topic_rows("test", 10, 5)]
    for count in (10, 30):
        file.write_text("\n".join(texts[:count]))
        settings = ("teacher.copies=0", "teacher.minutes=60")
        _, found, _ = teach(corpus, *settings, folders=[encoder], unlabelled=[file])
        assert found.counts.unlabelled.read == count


def test_the_lengths_of_rows_are_those_before_they_were_cut(
    write_csv, topic_rows, tmp_path, teach, encoder
):
    long = ("bread and soup " * 2000, "food")
    train = write_csv(tmp_path / "train.csv", [long, *topic_rows("train", 10, 1)])
    corpora = Corpora(train, write_csv(tmp_path / "validation.csv", topic_rows("test", 10, 2)))
    rows, found, _ = teach(corpora, "teacher.copies=0", "tokens.max_length=4", folders=[encoder])
    assert len(learnt(found)[0].text) < found.rows.train.characters[0] == len(long[0])
    assert found.rows.train.characters.tolist() == rows.train.characters.tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "texts.csv"), ("note,label\nbread,food\n", "no column 'text'")],
)
def test_unlabelled_texts_that_cannot_be_read_are_refused_at_once(
    encoder, tmp_path, content, message
):
    file = tmp_path / "texts.csv"
    if content:
        file.write_text(content)
    settings = config.load().taught_by([encoder], [file])
    with pytest.raises(CorpusError, match=message):
        check_teachers(settings)


def test_several_labels_a_text(write_csv, tmp_path, teach, encoder):
    rows = [
        (f"some {a} and {b}", f"food{c}")
        for a in ("bread", "soup", "rice", "cake")
        for b, c in (("train", "|travel"), ("bank", "|money"), ("cheese", ""), ("hotel", "|travel"))
    ]
    path = write_csv(tmp_path / "several.csv", rows, ("text", "labels"))
    # Before anything is labelled.
    with pytest.raises(ConfigError, match="or probabilities of several labels"):
        teach(Corpora(path), "training.linear_path=solved", folders=[encoder])
    several, found, _ = teach(Corpora(path), "teacher.copies=3", folders=[encoder])
    assert several.multi_label
    for row in learnt(found)[found.counts.rows :]:
        has = tuple(
            n for n, p in zip(several.labels.names, row.probabilities, strict=True) if p >= 0.5
        )
        assert row.labels == has


def test_a_row_out_of_scope_has_copies_out_of_scope(
    write_csv, topic_rows, tmp_path, teach, encoder
):
    outside = [
        (f"the {word} of it", "other") for word in ("zork", "quux", "blub", "xyz", "foo")
    ] * 4
    path = write_csv(tmp_path / "scope.csv", [*topic_rows("train", 10, 1), *outside])
    setting = "reject.out_of_scope=other"
    _, found, _ = teach(Corpora(path), setting, "teacher.copies=3", folders=[encoder])
    added = [row for row in learnt(found)[found.counts.rows :] if not row.labels]
    assert added
    assert all(row.probabilities is None for row in added)


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["corpus.probability_prefix=p_"], "not with corpus.probability_prefix"),
        (["training.refit=true"], "not with training.refit=true"),
        (
            ["reject.out_of_scope=x", 'teacher.unlabelled=["a.txt"]'],
            "not with reject.out_of_scope with teacher.unlabelled",
        ),
    ],
)
def test_settings_that_exclude_a_teacher_are_refused(assignments, message):
    settings = config.load(assignments=assignments).taught_by([Path("folder")])
    with pytest.raises(ConfigError, match=message):
        teaching.check_settings(settings)


def test_a_damaged_file_of_limits_counts_as_none(corpus, teach, encoder, tmp_path):
    settings = ("teacher.copies=1", "teacher.minutes=60")
    _, found, _ = teach(corpus, *settings, folders=[encoder])
    file = tmp_path / "cache" / "limits.json"
    assert [*json.loads(file.read_text()).values()] == [{"copies": 1, "unlabelled": 0}]
    file.write_text("[")
    _, again, _ = teach(corpus, *settings, folders=[encoder])
    assert again.counts == found.counts


def test_a_text_without_a_label_is_not_learnt_as_if_all_were_as_likely(
    corpus, teach, endpoint, tmp_path
):
    endpoint.answers = lambda text: "?" if "soup" in text or "train" in text else "food"
    pool = tmp_path / "pool.txt"
    pool.write_text("please bread to a pepper\nplease soup to a pepper\n", encoding="utf-8")
    _, found, reported = teach(
        corpus,
        "teacher.copies=0",
        "teacher.hard_share=0.5",
        folders=[endpoint.url],
        unlabelled=[pool],
    )
    rows = learnt(found)
    without = [row for row in rows[: found.counts.rows] if endpoint.answers(row.text) == "?"]
    assert without
    for row in without:
        assert max(row.probabilities) == 1
        assert found.rows.labels.names[row.probabilities.index(1)] == row.label
    assert [row.text for row in rows[found.counts.rows :]] == ["please bread to a pepper"]
    assert found.counts.unlabelled.without_label == 1
    assert any("1 got no label and are left out" in line for line in reported)


def test_a_run_that_fails_tells_what_its_requests_have_cost(corpus, teach, endpoint):
    endpoint.answers = lambda _: "food"
    endpoint.faults = [None] * 15 + [(402, {}, "Pay first")] * 60
    reported = []
    with pytest.raises(TeacherError, match="the quota of the endpoint is exhausted: Pay first"):
        teach(corpus, "teacher.copies=0", folders=[endpoint.url], reported=reported)
    assert reported[-1].message == "teacher small: 15 requests, 1,500 tokens read and 30 written"
