"""A text in pieces has the tokens of the text so far, wherever it is split."""

import itertools
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import normalizers

from gatewise.vocab.errors import TokenizerError
from gatewise.vocab.tokenizer import character_classes
from gatewise.vocab.tokenizer.incremental_tokenizer import (
    MAX_OPEN_CHARACTERS,
    EndlessWordError,
    IncrementalTokenizer,
)
from gatewise.vocab.tokenizer.stable_boundaries import may_combine, stable_boundaries
from gatewise.vocab.tokenizer.tokenizer import train_tokenizer

CORPUS = [
    "The first text, of several: it's [about] words' ends!",
    "Ein zweiter Text über Wörter, naïve façades und ΟΔΟΣ Σίσυφος",
    "最寄りの駅はどこですか がぎぐ カタカナ ｶﾞ 한국어 문장 ไทย คำ",
    "ﬁne ﬂow ① ² x² ｆｕｌｌ ［ＰＡＤ］ a b c aa ab ba aaa bbb",
    "emoji 👩‍👩‍👧 👍🏽 ☃ and [PAD] or [UNK] or P A D",
] * 3
FORMS = ["none", "nfc", "nfkc", "nfd", "nfkd"]
KINDS = [
    {"unit": unit, "normalization": form, "accents": accents, "lowercase": number % 4 > 0}
    for number, (form, accents, unit) in enumerate(
        itertools.product(FORMS, ["keep", "strip"], ["word", "character", "subword"])
    )
]
KINDS += [{**kind, "pieces": 60} for kind in KINDS if kind["unit"] == "word"]
# Letters, combining marks, white space, dropped and isolated characters, characters that decompose,
# and parts of special tokens.
PARTS = [
    *"aAbeoi ßİǰΣσςΌ .,!'[]-=<PADUNKCLS",
    *"\u0301\u0308\u0327\u0338\u0345\u0344\u0323\u05b0\u0651\u093c\u09be\u0bbe\u3099\u309a\uff9e",
    *" \t\n\r\x0b\x0c\x85\xa0\u1680\u2003\u2028\u3000",
    *"\u200b\u200c\u200d\u2060\ufeff\ufe0f\x00\x1f\xad\ufffd\ue000",
    *"日本がかヿゟ駅ทํา한ᄒ\u1161\u11abᅡ각ᆨ",
    *"👩👍🏽☃©™①²ﬁ㎏㍿ﷺ¨´˚ªｶＰＡＤ［］￣",
    *["[PAD]", "[UNK]", "[CLS]", "[PA", "[ PAD]", "[P\u200bAD]", "a b", "the", "words", "☃☃", "  "],
    *["👩‍👩‍👧", "e\u0301\u0327", "\u1112\u1161\u11ab", "x" * 120],
]


@pytest.fixture(scope="module")
def kinds():
    """Every kind of tokenizer, with its options and its incremental form."""
    tokenizers = [train_tokenizer(CORPUS, vocab_size=150, **options) for options in KINDS]
    return list(zip(KINDS, tokenizers, map(IncrementalTokenizer, tokenizers), strict=True))


def check(kind, pieces):
    """Compare the ids after every piece; return the maximum number of open ones."""
    options, tokenizer, texts = kind
    text, ids, open_ids = texts.text(), [], 0
    for number, piece in enumerate(pieces):
        delta = text.add(piece)
        ids += delta.ids
        so_far = "".join(pieces[: number + 1])
        expected = tokenizer.encode(so_far).ids[1:]
        assert ids + delta.open == expected, (options, pieces[: number + 1])
        open_ids = max(open_ids, len(delta.open))
    return open_ids


@settings(max_examples=200)
@given(data=st.data())
def test_after_every_piece_the_tokens_are_those_of_the_text_so_far(kinds, data):
    kind = data.draw(st.sampled_from(range(len(kinds))))
    parts = st.one_of(st.sampled_from(PARTS), st.characters(exclude_categories=["Cs"]))
    pieces = data.draw(st.lists(st.lists(parts, max_size=6).map("".join), max_size=12))
    check(kinds[kind], pieces)


def test_few_tokens_are_open_and_no_more_in_a_longer_text(kinds):
    sentences = list(" ".join(CORPUS[:5]))
    texts = ["word " * 300, "日本語" * 300, "a" + " " * 900 + "b", "a b " * 300, "[[" * 300]
    texts += ["☃ " * 300, "\u200b" * 3000, "[P\u200bAD]" * 200, "か\u3099" * 300]
    for kind in kinds:
        assert check(kind, sentences) <= 12, kind[0]
        for text in texts:
            pieces = [text[start : start + 500] for start in range(0, len(text), 500)]
            assert check(kind, pieces) <= 12, text[:10]


def test_a_text_may_begin_with_dropped_characters(kinds):
    for kind in kinds:
        for text in ("\u0301word", "\u200bword", "[PAD]\u0301\u0308日", "\u3099か"):
            check(kind, [text, "x"])
            check(kind, list(text))


def test_an_endless_word_is_refused_unless_it_is_unknown(kinds):
    word = "ab" * MAX_OPEN_CHARACTERS
    for options, tokenizer, incremental in kinds:
        pieces = [word[start : start + 50] for start in range(0, len(word), 50)]
        if options["unit"] in ("word", "character"):
            check((options, tokenizer, incremental), [*pieces, " a", "b"])
            continue
        text = incremental.text()
        for piece in pieces[:20]:
            text.add(piece)
        with pytest.raises(EndlessWordError, match="within 1,024 characters"):
            text.add(pieces[20])


def test_endless_marks_are_refused():
    tokenizer = train_tokenizer(CORPUS, unit="character", normalization="nfc")
    text = IncrementalTokenizer(tokenizer).text()
    with pytest.raises(EndlessWordError):
        text.add("e" + "\u0301\u0323" * MAX_OPEN_CHARACTERS)


def test_a_lone_surrogate_is_refused_and_changes_nothing(kinds):
    for _, tokenizer, incremental in kinds:
        text = incremental.text()
        ids = text.add("the fir").ids
        with pytest.raises(UnicodeEncodeError):
            text.add("st\ud800")
        delta = text.add("st")
        assert ids + delta.ids + delta.open == tokenizer.encode("the first").ids[1:]


def test_word_ngrams_are_refused():
    with pytest.raises(TokenizerError, match=r"tokens\.unit=word, subword or character"):
        stable_boundaries(train_tokenizer(CORPUS, unit="ngram"))


def compositions():
    """Every pair of characters that compose, by this Python's tables."""
    for code in range(sys.maxunicode + 1):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            yield chr(int(parts[0], 16)), chr(int(parts[1], 16))


def test_all_that_combine_are_known():
    form = normalizers.NFC()
    composed = [
        (one, two) for one, two in compositions() if len(form.normalize_str(one + two)) == 1
    ]
    assert len(composed) > 900
    assert [pair for pair in composed if not may_combine(pair[1])] == []
    every = map(chr, itertools.chain(range(0xD800), range(0xE000, sys.maxunicode + 1)))
    moved = [c for c in every if unicodedata.combining(c) and not may_combine(c)]
    assert moved == []
    for final in range(0x11A8, 0x11C3):
        assert form.normalize_str("가" + chr(final)) != "가" + chr(final)
        assert may_combine(chr(final))


def test_composition_keeps_isolated_characters_and_white_space():
    form = normalizers.NFC()
    classes = character_classes.white_space(), character_classes.isolated()
    is_break = frozenset().union(*map(character_classes.members, classes))
    for one, two in compositions():
        found = form.normalize_str(one + two)
        assert (ord(found[0]) in is_break) == (ord(one) in is_break), (one, two)
