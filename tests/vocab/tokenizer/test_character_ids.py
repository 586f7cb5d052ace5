import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewise.vocab.tokenizer.character_ids import CharacterIds
from gatewise.vocab.tokenizer.encoding import Encoder
from gatewise.vocab.tokenizer.tokenizer import train_tokenizer

CORPUS = ["ab Σς é e\u0301 が か\u3099 한국 [ ] PAD CLS"]
TOKENIZERS = {
    "lower case": train_tokenizer(CORPUS, unit="character"),
    "both cases": train_tokenizer(CORPUS, unit="character", lowercase=False),
    "no space": train_tokenizer(["ab"], unit="character"),
}
PIECES = [*"abAΣé한[]xİ", "\u0301", "\u200b", "\x00", " ", "\n", "\u3000", "[CLS]", "[P\u200bAD]"]


@pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
@given(
    texts=st.lists(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), max_size=5),
    keep=st.sampled_from(["head", "tail", "both"]),
)
def test_ids_are_the_tokenizer_s(tokenizer, texts, keep):
    encoder = Encoder(tokenizer, max_length=6, keep=keep)
    encoded, together = encoder.encode(texts), encoder.encode_together(texts)
    assert together.ids.tolist() == [id_ for text in encoded for id_ in text.ids.tolist()]
    assert together.lengths.tolist() == [len(text.ids) for text in encoded]
    assert together.truncated.tolist() == [text.truncated for text in encoded]


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_ids_of_any_text_are_the_tokenizer_s(texts):
    tokenizer = TOKENIZERS["lower case"]
    found = CharacterIds(tokenizer).encode(texts)
    if found is not None:
        expected = [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]
        assert found[0].tolist() == [id_ for ids in expected for id_ in ids]
        assert found[1].tolist() == list(map(len, expected))


def test_texts_with_a_special_token_or_several_characters_for_one_go_to_the_tokenizer():
    ids = CharacterIds(TOKENIZERS["lower case"])
    assert ids.encode(["a", "b [PAD]"]) is None
    assert ids.encode(["a", "İ"]) is None
    assert ids.encode(["a", "\ud800"]) is None
    assert ids.encode(["a"]) is not None


@pytest.mark.parametrize(
    "settings",
    [
        {"unit": "word"},
        {"unit": "subword"},
        {"unit": "ngram"},
        {"unit": "character", "normalization": "nfc"},
        {"unit": "character", "accents": "strip"},
    ],
)
def test_ids_that_depend_on_other_characters_are_none(settings):
    assert CharacterIds.of(train_tokenizer(CORPUS, **settings)) is None
