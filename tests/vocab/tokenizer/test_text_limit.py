"""A text that is cut has the tokens that are read of the whole text, for every tokenizer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewise.vocab.tokenizer import text_limit
from gatewise.vocab.tokenizer.encoding import Encoder
from gatewise.vocab.tokenizer.text_limit import TextLimit, unit_of
from gatewise.vocab.tokenizer.tokenizer import train_tokenizer

TEXTS = [
    "the quick brown fox, so it's said: jumps 12 times over [UNK] lazy dogs 😀 ①㎏ﬁ",
    "Ünïcode café cafe\u0301 ΣΑΣ が か\u3099 ｶﾞ 한국어 \u1112\u1161\u11ab 最寄りの駅 สวัสดี नमस्ते",
]
# Pieces that combine, collapse, vanish or split with what is beside them.
PIECES = [
    *("word", "a", "the", "fox", "cafe", "12", "Σ", "ß", "駅", "か", "が", "ｶ", "ส", "न"),
    *("é", "ộ", "İ", "й", "ǰ", "한", "하", "한국어", "Ａ", "½", "ℌ"),
    *(
        " ",
        "  ",
        "\n",
        "\t",
        "\u3000",
        "\u00a0",
        ",",
        "…",
        "[",
        "]",
        "😀",
        "❤\ufe0f",
        "㎏",
        "①",
        "ﬁ",
    ),
    *("\u0301", "\u3099", "\uff9e", "\u1161", "\u11ab", "\u200b", "\u00ad", "\ufe0f", "\x01"),
    *(
        "ͺ",
        "ﬁ",
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[PAD",
        "PAD]",
        "\u1112",
        "\u093f",
        "\U000e0100",
        "\ufffd",
    ),
]
UNITS = ["word", "character", "subword"]
NORMALIZATIONS = [
    {},
    {"lowercase": False},
    {"normalization": "nfkc"},
    {"normalization": "nfd", "lowercase": False},
    {"accents": "strip"},
    {"accents": "strip", "normalization": "nfkd", "lowercase": False},
]
TOKENIZERS = {
    (unit, number): train_tokenizer(TEXTS * 3, unit=unit, **options)
    for unit in UNITS
    for number, options in enumerate(NORMALIZATIONS)
}
WITH_PIECES = [train_tokenizer(TEXTS * 3, pieces=200, **options) for options in NORMALIZATIONS]


@pytest.fixture
def short(monkeypatch):
    """Texts are cut from a few characters on, and words of a few are too long."""
    monkeypatch.setattr(text_limit, "MIN_CHARACTERS", 8)


def read(tokenizer, text, max_length, keep, monkeypatch):
    """The encoding of the whole text."""
    with monkeypatch.context() as patched:
        patched.setattr(text_limit, "MIN_CHARACTERS", len(text))
        (encoded,) = Encoder(tokenizer, max_length, keep).encode([text])
    return encoded.ids.tolist(), encoded.truncated


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("keep", ["head", "tail", "both"])
@pytest.mark.parametrize("unit", UNITS)
def test_what_is_read_stays_the_same(unit, keep, monkeypatch):
    pieces = st.lists(
        st.tuples(st.sampled_from(PIECES), st.sampled_from([1, 1, 1, 1, 2, 40, 300])), max_size=80
    )

    @settings(max_examples=150, deadline=None)
    @given(pieces, st.integers(2, 12), st.integers(0, len(NORMALIZATIONS) - 1))
    def check(pieces, max_length, number):
        text = "".join(piece * times for piece, times in pieces)
        tokenizers = [TOKENIZERS[unit, number]]
        tokenizers += [WITH_PIECES[number]] if unit == "word" else []
        for tokenizer in tokenizers:
            whole = read(tokenizer, text, max_length, keep, monkeypatch)
            for known in {unit, *(["auto"] if unit != "subword" else [])}:
                cut = TextLimit(max_length, keep, known).cut(text)
                assert read(tokenizer, cut, max_length, keep, monkeypatch) == whole

    check()


@pytest.mark.parametrize("keep", ["head", "tail", "both"])
@pytest.mark.parametrize(
    ("unit", "known"), [("word", "auto"), ("character", "auto"), *zip(UNITS, UNITS, strict=True)]
)
def test_a_long_text_becomes_short(unit, known, keep, monkeypatch):
    tokenizer = TOKENIZERS[unit, 0]
    pieces = ("so it is said, ", "最寄りの駅はどこですか", "word\u0301 and\n", "한국어 ", "été ")
    for piece in pieces:
        text = f"{TEXTS[1]} " + piece * 40_000 + TEXTS[0]
        cut = TextLimit(512, keep, known).cut(text)
        assert len(cut) <= 2 * text_limit.MIN_CHARACTERS + 100
        whole = read(tokenizer, text, 512, keep, monkeypatch)
        assert read(tokenizer, cut, 512, keep, monkeypatch) == whole
        assert whole[1]


@pytest.mark.parametrize("unit", ["word", "character"])
def test_a_word_without_end_becomes_short(unit, monkeypatch):
    text = "first " + "x" * 200_000 + " then the fox"
    cut = TextLimit(512, "head", "auto").cut(text)
    assert len(cut) < 1000
    assert cut.endswith(" then the fox")
    tokenizer = TOKENIZERS[unit, 0]
    assert read(tokenizer, cut, 512, "head", monkeypatch) == read(
        tokenizer, text, 512, "head", monkeypatch
    )


def test_short_texts_and_word_ngrams_are_not_cut():
    text = "a " * 2048
    assert TextLimit(2, "head", "word").cut(text) is text
    assert TextLimit(2, "head", "ngram").cut(text * 9) == text * 9


@pytest.mark.parametrize("unit", [*UNITS, "ngram"])
def test_the_unit_of_a_tokenizer(unit):
    assert unit_of(train_tokenizer(TEXTS, unit=unit)) == unit


def test_locating_gives_the_spans_of_the_whole_text(monkeypatch):
    text = "so it is said, " * 3000
    encoder = Encoder(TOKENIZERS["word", 0], 64)
    (found,) = encoder.locate([text])
    monkeypatch.setattr(text_limit, "MIN_CHARACTERS", len(text))
    (expected,) = encoder.locate([text])
    assert found.encoded.ids.tolist() == expected.encoded.ids.tolist()
    assert (found.spans, found.boundary) == (expected.spans, expected.boundary)
    assert found.encoded.truncated
