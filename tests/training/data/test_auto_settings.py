from dataclasses import replace

import numpy as np
import pytest

from gatewise.training.config import config
from gatewise.training.config.config import ConfigError
from gatewise.training.data.auto_settings import (
    with_class_weights,
    with_epochs,
    with_linear_path,
    with_ngrams,
    with_pieces,
    with_refit,
    with_unit,
    with_vectors,
)
from gatewise.training.data.corpora import Corpora, Rows, read
from gatewise.training.data.stored_rows import store
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import Row
from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.corpus.records import Location

SUBJECTS = ("the dog", "a cat", "my neighbour", "the old man", "our teacher", "her sister")
VERBS = ("sees", "likes", "follows", "calls", "hears", "helps", "meets")
OBJECTS = ("the postman", "a friend", "the children", "this song", "that book", "nobody")
ENGLISH = [f"{s} {v} {o}" for s in SUBJECTS for v in VERBS for o in OBJECTS]

_SYLLABLES = ("ka", "mo", "ri", "tu", "ne", "sha", "vel", "dor", "lin", "bo", "zet", "yu", "pra")
_PLACES = np.random.default_rng(1).integers(0, len(_SYLLABLES), (300, 5))
NAMES = ["".join(_SYLLABLES[place] for place in row) for row in _PLACES]

# A word each of a few characters, none between them: where they end no white space says.
CHINESE = [f"我们{verb}这{thing}。" for verb in "看听写读买卖" for thing in "书画诗歌米酒茶花树门"]


@pytest.fixture
def rows_of(tmp_path, write_csv):
    """The rows of a corpus, each fourth of them for validation."""

    def rows(texts):
        labelled = [(text, "ab"[number % 2]) for number, text in enumerate(texts)]
        corpora = Corpora(
            write_csv(tmp_path / "train.csv", [r for n, r in enumerate(labelled) if n % 4]),
            write_csv(tmp_path / "validation.csv", labelled[::4]),
        )
        (tmp_path / "rows").mkdir()
        return read(corpora, config.load(), StopAtBadRows(), tmp_path / "rows")

    return rows


def stored(folder, texts, labels):
    """Training rows with a label each."""
    numbered = enumerate(zip(texts, labels, strict=True), start=1)
    rows = [Row(text, (label,), Location("rows", n)) for n, (text, label) in numbered]
    return store(rows, folder / "train.arrow")


@pytest.mark.parametrize(
    ("texts", "settings", "unit"),
    [
        (ENGLISH, [], "word"),
        (NAMES, [], "character"),
        (CHINESE, [], "character"),
        # Long texts are split into words whatever they hold.
        ([f"{name} " * 40 for name in NAMES], [], "word"),
        # A unit that is set is kept.
        (NAMES, ["tokens.unit=subword"], "subword"),
        # Words that the dictionary will leave out are known words all the same.
        (ENGLISH, ["tokens.min_frequency=50", "tokens.vocab_size=10"], "word"),
    ],
    ids=["sentences", "names", "no spaces", "long", "set", "left out"],
)
def test_the_unit_follows_from_the_texts(rows_of, texts, settings, unit):
    assert with_unit(config.load(assignments=settings), rows_of(texts)).tokens.unit == unit


def test_more_unknown_words_are_allowed_beside_similar_ones(rows_of):
    # Two words of about six occur once, as in a few questions on many topics.
    rows = rows_of([f"{text} {text[0]}{number} x{number}" for number, text in enumerate(ENGLISH)])
    assert with_unit(config.load(), rows).tokens.unit == "character"
    assert with_unit(config.load(), rows, has_neighbours=True).tokens.unit == "word"


def test_other_settings_are_left_alone(rows_of):
    given = config.load(assignments=["tokens.lowercase=false", "training.seed=4"])
    found = with_unit(given, rows_of(NAMES))
    tokens = given.tokens.model_copy(update={"unit": "character"})
    assert found == given.model_copy(update={"tokens": tokens})


@pytest.mark.parametrize(
    ("tokens", "epochs"),
    [(400_000, 12), (440_000, 11), (1_600_000, 6), (10**9, 4)],
)
def test_epochs_are_fewer_the_more_tokens_there_are(tokens, epochs):
    assert with_epochs(config.load(), tokens).training.epochs == epochs
    given = config.load(assignments=["training.epochs=40"])
    assert with_epochs(given, tokens) == given


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        ((), "auto"),
        (("network.vectors=FOLDER",), False),
        (("network.vectors=FOLDER/words.vec",), True),
        (("network.vectors=FOLDER", "network.train_vectors=true"), True),
        (("network.vectors=FOLDER/words.vec", "network.train_vectors=false"), False),
    ],
)
def test_an_encoder_s_vectors_are_left_as_they_are(assignments, expected, tmp_path):
    given = config.load(assignments=[each.replace("FOLDER", str(tmp_path)) for each in assignments])
    assert with_vectors(given).network.train_vectors == expected


@pytest.mark.parametrize(
    ("assignments", "linear_path"),
    [
        ([], "solved"),
        (["training.linear_path=descended"], "descended"),
        (["training.paths=together"], "descended"),
        (["corpus.probability_prefix=p_"], "solved"),
        (["reject.out_of_scope=none"], "descended"),
    ],
)
def test_the_linear_path_of_few_rows_with_labels_is_solved(assignments, linear_path, rows_of):
    rows = rows_of(ENGLISH)
    found = with_linear_path(config.load(assignments=assignments), rows)
    assert found.training.linear_path == linear_path


@pytest.mark.parametrize(
    ("texts", "labels", "of_labels", "of_probabilities"),
    [
        (["short"] * 6_000, 2, "solved", "solved"),
        (["short"] * 6_000, 40, "descended", "solved"),
        (["short"] * 6_000, 200, "descended", "descended"),
        (["short"] * 30_000, 2, "descended", "solved"),
        (["short"] * 60_000, 2, "descended", "descended"),
        (["long " * 100] * 6_000, 2, "descended", "descended"),
    ],
    ids=["short", "many labels", "very many", "many rows", "very many rows", "long"],
)
def test_the_path_of_more_rows_is_solved_where_that_is_quick(
    tmp_path, texts, labels, of_labels, of_probabilities
):
    train = stored(tmp_path, texts, [str(n % labels) for n in range(len(texts))])
    names = Labels(tuple(str(n) for n in range(labels)))
    rows = Rows(train, train.only(np.arange(len(train)) < 10), None, names, multi_label=False)
    assert with_linear_path(config.load(), rows).training.linear_path == of_labels
    shares = config.load(assignments=["corpus.probability_prefix=p_"])
    assert with_linear_path(shares, rows).training.linear_path == of_probabilities


@pytest.mark.parametrize(
    ("assignments", "count", "pieces"),
    [
        (["tokens.unit=word"], 5000, 2000),
        (["tokens.unit=word", "tokens.vocab_size=500"], 5000, 50),
        (["tokens.unit=word"], 5001, 0),
        (["tokens.unit=character"], 5000, 0),
        (["tokens.unit=word", "tokens.pieces=7"], 5001, 7),
    ],
)
def test_words_have_pieces_where_rows_are_few(assignments, count, pieces, tmp_path):
    numbered = [Row("a", (str(n % 2),), Location("rows", n)) for n in range(count)]
    train = store(numbered, tmp_path / "train.arrow")
    no_rows, names = train.only(np.zeros(len(train), dtype=bool)), Labels(("0", "1"))
    rows = Rows(train, no_rows, None, names, multi_label=False)
    resolved = with_pieces(config.load(assignments=assignments), rows)
    assert resolved.tokens.pieces == pieces
    assert resolved.tokens.dictionary_options()["pieces"] == pieces


@pytest.mark.parametrize(
    ("text", "count", "assignments", "ngrams"),
    [
        ("one two three four", 5000, [], (1, 3, 5, 6)),
        ("one two three four", 5001, [], "auto"),
        ("one two three", 5000, [], "auto"),
        ("我们看这书我们看这书", 5000, [], "auto"),
        ("one two three four", 5000, ["tokens.unit=word"], "auto"),
        ("one two three four", 5000, ["training.linear_path=descended"], "auto"),
        ("one two three four", 5000, ["network.ngrams=[1, 2]"], (1, 2)),
    ],
    ids=["sentences", "many rows", "short", "no spaces", "words", "descended", "set"],
)
def test_few_sentences_of_characters_have_long_ngrams(text, count, assignments, ngrams, tmp_path):
    train = stored(tmp_path, [text] * count, ["a"] * count)
    no_rows, names = train.only(np.zeros(len(train), dtype=bool)), Labels(("a", "b"))
    rows = Rows(train, no_rows, None, names, multi_label=False)
    given = ["tokens.unit=character", "training.linear_path=solved", *assignments]
    assert with_ngrams(config.load(assignments=given), rows).network.ngrams == ngrams


def test_a_path_cannot_be_solved_for_probabilities_of_several_labels(rows_of):
    assignments = ["training.linear_path=solved", "corpus.probability_prefix=p_"]
    rows = replace(rows_of(ENGLISH), multi_label=True)
    with pytest.raises(ConfigError, match=r"set\s+training\.linear_path=descended"):
        with_linear_path(config.load(assignments=assignments), rows)


def test_a_path_that_is_solved_has_no_common_loss():
    with pytest.raises(ConfigError, match=r"expected training\.paths=apart"):
        config.load(assignments=["training.linear_path=solved", "training.paths=together"])


@pytest.mark.parametrize(
    ("assignments", "counts", "weights"),
    [
        ([], {"a": 600, "b": 60}, "balanced"),
        ([], {"a": 600, "b": 61}, "none"),
        # Rare labels beside frequent ones, but none that is most of the rows.
        ([], {"a": 600, "b": 600, "c": 10}, "none"),
        ([], {"a": 600, "b": 20, "c": 30, "d": 40}, "balanced"),
        (["training.class_weights=none"], {"a": 600, "b": 60}, "none"),
        (["training.sampling=balanced"], {"a": 600, "b": 60}, "none"),
        (["corpus.probability_prefix=p_"], {"a": 600, "b": 60}, "none"),
    ],
)
def test_rare_labels_beside_a_dominant_one_are_weighted(assignments, counts, weights, tmp_path):
    labels = [label for label, count in counts.items() for _ in range(count)]
    train = stored(tmp_path, ["text"] * len(labels), labels)
    rows = Rows(train, train, None, Labels(tuple(counts)), multi_label=False)
    found = with_class_weights(config.load(assignments=assignments), rows)
    assert found.training.class_weights == weights


@pytest.mark.parametrize(
    ("assignments", "held_out", "refit"),
    [
        ([], True, True),
        ([], False, False),
        (["training.refit=false"], True, False),
        (["reject.out_of_scope=none"], True, False),
    ],
)
def test_few_rows_are_learnt_again_with_those_held_out(assignments, held_out, refit, rows_of):
    rows = replace(rows_of(ENGLISH), held_out=held_out)
    found = with_refit(config.load(assignments=assignments), rows)
    assert found.training.refit is refit


@pytest.mark.parametrize(
    ("assignments", "held_out", "message"),
    [
        ([], False, "received a validation corpus"),
        (["reject.out_of_scope=none"], True, "reject.out_of_scope"),
    ],
)
def test_rows_that_cannot_be_added_are_refused(assignments, held_out, message, rows_of):
    rows = replace(rows_of(ENGLISH), held_out=held_out)
    settings = config.load(assignments=["training.refit=true", *assignments])
    with pytest.raises(ConfigError, match=message):
        with_refit(settings, rows)
