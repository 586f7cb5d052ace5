"""Spans are right for every kind of dictionary and every way of bringing a text into one form."""

import itertools
import random
import unicodedata

import pytest
from gatewise.vocab.tokenizer.encoding import Encoder
from gatewise.vocab.tokenizer.token_offsets import token_offsets
from gatewise.vocab.tokenizer.tokenizer import train_tokenizer
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.parity import texts as awkward

TEXTS = [
    "Hello, wörld! it's 12 a.m. fine",
    "東京は大きい town",
    "straße ÉCOLE ﬁn final",
    "한국어 각 the way of the way",
]
WORDS = [{}, {"accents": "strip"}, {"lowercase": False}] + [
    {"normalization": form, "accents": accents}
    for form in ("nfc", "nfd", "nfkc", "nfkd")
    for accents in ("keep", "strip")
]
KINDS = [
    *({"unit": "word", **options} for options in WORDS),
    *({"unit": "character", **options} for options in WORDS),
    {"unit": "subword"},
    *({"unit": "ngram", "ngram": size} for size in (2, 3)),
]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def encoder(request):
    return Encoder(train_tokenizer(TEXTS * 3, **request.param), max_length=512)


def stretches(encoder, text):
    (located,) = encoder.locate([text])
    return [text[span.start : span.end] for span in located.spans]


def is_normalized_one_by_one(form, text):
    if any(map(unicodedata.combining, text)):
        return False
    parts = "".join(unicodedata.normalize(form, character) for character in text)
    # Some become a space and a mark, and a word ends at it.
    return unicodedata.normalize(form, text) == parts and len(parts.split()) == len(text.split())


def awkward_texts():
    kinds = [text for texts in awkward.KINDS.values() for text in texts]
    draw = random.Random(7)
    alphabet = [
        *"ab é½ﬁßİΣ\u0301\u0323\u200b\u200d\ufe0f\t\n.,!?",
        "👍",
        "🏽",
        "각",
        "ﾞ",
        "ｶ",
        "ﷺ",
        "東",
    ]
    return kinds + ["".join(draw.choices(alphabet, k=draw.randint(1, 14))) for _ in range(300)]


def test_spans_are_apart_in_order_and_all_that_is_read(encoder):
    texts = awkward_texts()
    for text, located, encoded in zip(
        texts, encoder.locate(texts), encoder.encode(texts), strict=True
    ):
        assert located.encoded.ids.tolist() == encoded.ids.tolist(), text
        assert located.encoded.truncated == encoded.truncated
        places = [place for span in located.spans for place in span.tokens]
        assert places == list(range(1, len(encoded.ids))), text
        end = 0
        for span in located.spans:
            assert end <= span.start < span.end <= len(text), text
            end = span.end
        assert located.seam == len(located.spans)


def test_all_is_read_but_white_space_and_what_is_dropped_before_a_word(encoder):
    text = "\ufeff Hi a\u0301\u200d\ufe0f, b ½ \u00a0 x\u0323\u0301.\u200b"
    read = "".join(stretches(encoder, text))
    assert "".join(read.split()) == "".join(text.removeprefix("\ufeff").split())


@pytest.mark.parametrize("options", WORDS, ids=lambda kind: "-".join(map(str, kind.values())))
@pytest.mark.parametrize("unit", ["word", "character"])
def test_a_stretch_alone_gives_the_tokens_that_it_stands_for(unit, options):
    encoder = Encoder(train_tokenizer(TEXTS * 3, unit=unit, **options), max_length=4096)
    # Marks change places and letters become one with others: then no part stands for itself.
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
def test_stretches(options, text, expected):
    encoder = Encoder(train_tokenizer([*TEXTS, "s\u200bof the"] * 3, **options), max_length=64)
    assert stretches(encoder, text) == expected


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).map(sorted).map(tuple), max_size=8),
    st.text("ab \u200b", min_size=9, max_size=9),
)
def test_whatever_offsets_are_told_every_token_is_in_one_span(offsets, text):
    offsets.sort()
    spans = token_offsets(text, offsets)
    told = [place for span in spans for place in span.tokens]
    assert told == list(range(len(offsets))) or all(start == end for start, end in offsets)
    for span, following in itertools.pairwise(spans):
        assert span.start < span.end <= following.start


@pytest.mark.parametrize(
    ("keep", "expected", "seam"),
    [("head", "aaa bb c", 3), ("tail", "e f g", 0), ("both", "aaa bb g", 2)],
)
def test_what_is_left_out_of_a_long_text_has_no_span(keep, expected, seam):
    encoder = Encoder(train_tokenizer(["aaa bb c d e f g"]), 4, keep)
    text = "aaa bb c d e f g"
    (located,) = encoder.locate([text])
    assert " ".join(stretches(encoder, text)) == expected
    assert located.seam == seam
    assert [list(span.tokens) for span in located.spans] == [[1], [2], [3]]
    assert located.encoded.truncated
    assert located.encoded.ids.tolist() == encoder.encode([text])[0].ids.tolist()
