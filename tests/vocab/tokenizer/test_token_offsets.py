"""Spans for every kind of tokenizer and every normalization."""

import itertools
import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.parity import texts as awkward
from gatewise.vocab.tokenizer.encoding import Encoder
from gatewise.vocab.tokenizer.token_offsets import token_offsets
from gatewise.vocab.tokenizer.tokenizer import train_tokenizer

TEXTS = [
    "Hello, wörld! it's 12 a.m. fine",
    "東京は大きい town",
    "straße ÉCOLE ﬁn final",
    "한국어 각 the way of the way",
]
WORDS = [
    {},
    {"accents": "strip"},
    {"lowercase": False},
    *({"normalization": form} for form in ("nfc", "nfd", "nfkc", "nfkd")),
    {"normalization": "nfkc", "accents": "strip"},
]
KINDS = [
    *({"unit": "word", **options} for options in WORDS),
    *({"unit": "character", **options} for options in WORDS),
    {"unit": "word", "pieces": 60},
    {"unit": "word", "pieces": 60, "normalization": "nfkd"},
    {"unit": "subword"},
    {"unit": "ngram", "ngram": 3},
]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def encoder(request):
    return Encoder(train_tokenizer(TEXTS * 3, **request.param), max_length=512)


def span_texts(encoder, text):
    (located,) = encoder.locate([text])
    return [text[span.start : span.end] for span in located.spans]


def is_normalized_one_by_one(form, text):
    if any(map(unicodedata.combining, text)):
        return False
    parts = "".join(unicodedata.normalize(form, character) for character in text)
    # Some characters become a space and a mark, which ends a word.
    return unicodedata.normalize(form, text) == parts and len(parts.split()) == len(text.split())


ALPHABET = "ab é½ﬁßİΣ\u0301\u0323\u200b\u200d\ufe0f\t\n.,!?👍🏽각ﾞｶﷺ東"


def awkward_texts():
    kinds = [text for texts in awkward.KINDS.values() for text in texts]
    draw = random.Random(7)
    return kinds + ["".join(draw.choices(ALPHABET, k=draw.randint(1, 14))) for _ in range(300)]


def test_spans_ascend_and_hold_every_token(encoder):
    texts = awkward_texts()
    found = zip(texts, encoder.locate(texts), encoder.encode(texts), strict=True)
    for text, located, encoded in found:
        assert located.encoded.ids.tolist() == encoded.ids.tolist(), text
        assert located.encoded.truncated == encoded.truncated
        places = [place for span in located.spans for place in span.tokens]
        assert places == list(range(1, len(encoded.ids))), text
        end = 0
        for span in located.spans:
            assert end <= span.start < span.end <= len(text), text
            end = span.end
        assert located.boundary == len(located.spans)


def test_spans_cover_all_but_white_space_and_dropped_characters_before_a_word(encoder):
    text = "\ufeff Hi a\u0301\u200d\ufe0f, b ½ \u00a0 x\u0323\u0301.\u200b"
    read = "".join(span_texts(encoder, text))
    assert "".join(read.split()) == "".join(text.removeprefix("\ufeff").split())


@pytest.mark.parametrize("options", WORDS, ids=lambda kind: "-".join(map(str, kind.values())))
@pytest.mark.parametrize("unit", ["word", "character"])
def test_the_text_of_a_span_has_its_tokens(unit, options):
    encoder = Encoder(train_tokenizer(TEXTS * 3, unit=unit, **options), max_length=4096)
    # Where marks are reordered or letters combine, a part alone may have other tokens.
    form = options.get("normalization", "none").upper()
    if options.get("accents") == "strip":
        form = "NONE"
    texts = [
        text
        for text in awkward_texts()
        if "[" not in text and (form == "NONE" or is_normalized_one_by_one(form, text))
    ]
    assert len(texts) > 50
    for text, located in zip(texts, encoder.locate(texts), strict=True):
        for span in located.spans:
            alone = text[span.start : span.end]
            if alone.isspace():
                continue
            (encoded,) = encoder.encode([alone])
            ids = located.encoded.ids[span.tokens.start : span.tokens.stop]
            assert encoded.ids[1:].tolist() == ids.tolist(), (text, alone)


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        ({"normalization": "nfc"}, "cafe\u0301 x", ["cafe\u0301", "x"]),
        ({"accents": "strip"}, "cafe\u0301\u0302 x", ["cafe\u0301\u0302", "x"]),
        ({"normalization": "nfkc"}, "ｶﾞ ½ ﬁn", ["ｶﾞ", "½", "ﬁn"]),
        ({"unit": "character"}, "İx y", ["İ", "x", " ", "y"]),
        ({}, "❤\ufe0f it\u200b", ["❤\ufe0f", "it\u200b"]),
        ({}, "don't 東京", ["don", "'", "t", "東", "京"]),
        ({}, "\u200f\u202eab\u202c  c", ["ab\u202c", "c"]),
        ({"unit": "subword"}, "the wot", ["the", "w", "o", "t"]),
        ({"unit": "ngram"}, "the way of  the town", ["the way", "of  the", "town"]),
    ],
)
def test_examples(options, text, expected):
    encoder = Encoder(train_tokenizer([*TEXTS, "s\u200bof the"] * 3, **options), max_length=64)
    assert span_texts(encoder, text) == expected


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).map(sorted).map(tuple), max_size=8),
    st.text("ab \u200b", min_size=9, max_size=9),
)
def test_every_token_is_in_one_span(offsets, text):
    offsets.sort()
    spans = token_offsets(text, offsets)
    found = [place for span in spans for place in span.tokens]
    assert found == list(range(len(offsets))) or all(start == end for start, end in offsets)
    for span, following in itertools.pairwise(spans):
        assert span.start < span.end <= following.start


@pytest.mark.parametrize(
    ("keep", "expected", "boundary"),
    [("head", "aaa bb c", 3), ("tail", "e f g", 0), ("both", "aaa bb g", 2)],
)
def test_truncated_tokens_have_no_span(keep, expected, boundary):
    text = "aaa bb c d e f g"
    encoder = Encoder(train_tokenizer([text]), 4, keep)
    (located,) = encoder.locate([text])
    assert " ".join(span_texts(encoder, text)) == expected
    assert located.boundary == boundary
    assert [list(span.tokens) for span in located.spans] == [[1], [2], [3]]
    assert located.encoded.truncated
    assert located.encoded.ids.tolist() == encoder.encode([text])[0].ids.tolist()


def test_the_pieces_of_a_word_are_one_span():
    tokenizer = train_tokenizer(["walk walks walking talk talking"], pieces=100)
    encoder = Encoder(tokenizer, 512)
    assert span_texts(encoder, "Talks  walk tatalk zoo") == ["Talks", "walk", "tatalk", "zoo"]
    (located,) = encoder.locate(["talks walk"])
    assert [span.tokens for span in located.spans] == [range(1, 3), range(3, 4)]
    # Truncation may keep a part of a word.
    (located,) = Encoder(tokenizer, 2).locate(["talks walk"])
    assert [(span.start, span.end, span.tokens) for span in located.spans] == [(0, 5, range(1, 2))]
    (located,) = Encoder(tokenizer, 3, "tail").locate(["walk talks"])
    assert [(span.start, span.end, span.tokens) for span in located.spans] == [(5, 10, range(1, 3))]
