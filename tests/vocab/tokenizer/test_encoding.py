from types import SimpleNamespace

import numpy as np
import pytest
from gatewise.vocab.tokenizer.encoding import Encoder, pad
from gatewise.vocab.tokenizer.tokenizer import CLS_ID, PAD_ID, train_tokenizer
from hypothesis import given
from hypothesis import strategies as st

TOKENIZER = train_tokenizer(["a b c d e f g"])


def test_ids_begin_with_the_mark_and_are_cut_at_the_end():
    encoder = Encoder(TOKENIZER, max_length=4)
    (whole, cut) = encoder.encode(["a b c", "a b c d"])
    assert whole.ids.tolist() == cut.ids.tolist() == [CLS_ID, *TOKENIZER.encode("a b c").ids[1:]]
    assert (whole.truncated, cut.truncated) == (False, True)
    assert whole.ids.dtype == np.int64


@pytest.mark.parametrize(
    ("keep", "max_length", "kept"),
    [
        *(("head", 2, "a"), ("head", 5, "abcd")),
        *(("tail", 2, "g"), ("tail", 5, "defg")),
        *(("both", 2, "a"), ("both", 4, "abg"), ("both", 5, "abfg"), ("both", 6, "abcfg")),
    ],
)
def test_a_part_of_a_long_text_is_kept(keep, max_length, kept):
    (cut,) = Encoder(TOKENIZER, max_length, keep).encode(["a b c d e f g"])
    assert cut.ids.tolist() == [CLS_ID, *map(TOKENIZER.token_to_id, kept)]
    assert cut.truncated


@given(
    st.lists(st.integers(3, 99), min_size=1, max_size=20),
    st.integers(2, 24),
    st.sampled_from(["head", "tail", "both"]),
)
def test_what_is_kept_is_as_long_as_can_be_and_from_the_ends(tokens, max_length, keep):
    class Numbers:
        """A dictionary whose words are numbers."""

        def encode_batch_fast(self, texts):
            return [SimpleNamespace(ids=[CLS_ID, *map(int, text.split())]) for text in texts]

    (cut,) = Encoder(Numbers(), max_length, keep).encode([" ".join(map(str, tokens))])
    assert len(cut.ids) == min(len(tokens) + 1, max_length)
    assert cut.truncated == (len(tokens) + 1 > max_length)
    assert cut.ids[0] == CLS_ID
    rest = cut.ids[1:].tolist()
    first = {"head": len(rest), "tail": 0, "both": (len(rest) + 1) // 2}[keep]
    assert rest == tokens[:first] + tokens[len(tokens) - (len(rest) - first) :]


def test_empty_texts_are_told():
    encoded = Encoder(TOKENIZER, max_length=4).encode(["", " \u200b", "unknown"])
    assert [text.is_empty for text in encoded] == [True, True, False]


def test_a_text_of_a_million_characters_is_cut():
    (encoded,) = Encoder(TOKENIZER, max_length=16).encode(["a " * 500_000])
    assert len(encoded.ids) == 16
    assert encoded.truncated


@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=8), min_size=1, max_size=6))
def test_padding_can_be_taken_off_again(texts):
    batch = pad([np.array(text) for text in texts])
    assert batch.input_ids.shape == batch.attention_mask.shape
    assert batch.input_ids.shape == (len(texts), max(map(len, texts)))
    for text, ids, mask in zip(texts, batch.input_ids, batch.attention_mask, strict=True):
        assert ids[: len(text)].tolist() == text
        assert (ids[len(text) :] == PAD_ID).all()
        assert mask.tolist() == [1] * len(text) + [0] * (len(ids) - len(text))
