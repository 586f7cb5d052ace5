from itertools import chain
from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gatewise.vocab.tokenizer.encoding import Encoder, Ragged, num_windows, pad
from gatewise.vocab.tokenizer.tokenizer import CLS_ID, PAD_ID, train_tokenizer

TOKENIZER = train_tokenizer(["a b c d e f g"])


def test_ids_begin_with_cls_and_are_truncated():
    encoder = Encoder(TOKENIZER, max_length=4)
    (complete, truncated) = encoder.encode(["a b c", "a b c d"])
    assert (
        complete.ids.tolist()
        == truncated.ids.tolist()
        == [CLS_ID, *TOKENIZER.encode("a b c").ids[1:]]
    )
    assert (complete.truncated, truncated.truncated) == (False, True)
    assert complete.ids.dtype == np.int64


@given(
    st.lists(st.integers(3, 99), min_size=1, max_size=20),
    st.integers(2, 24),
    st.sampled_from(["head", "tail", "both"]),
)
def test_truncation_keeps_max_length_ids_of_the_chosen_part(tokens, max_length, keep):
    class Numbers:
        """A tokenizer whose words are numbers."""

        pre_tokenizer = None

        def encode_batch_fast(self, texts):
            return [SimpleNamespace(ids=[CLS_ID, *map(int, text.split())]) for text in texts]

    (encoded,) = Encoder(Numbers(), max_length, keep).encode([" ".join(map(str, tokens))])
    assert len(encoded.ids) == min(len(tokens) + 1, max_length)
    assert encoded.truncated == (len(tokens) + 1 > max_length)
    assert encoded.ids[0] == CLS_ID
    rest = encoded.ids[1:].tolist()
    first = {"head": len(rest), "tail": 0, "both": (len(rest) + 1) // 2}[keep]
    assert rest == tokens[:first] + tokens[len(tokens) - (len(rest) - first) :]


def test_texts_without_a_token_are_empty():
    encoded = Encoder(TOKENIZER, max_length=4).encode(["", " \u200b", "unknown"])
    assert [text.is_empty for text in encoded] == [True, True, False]


@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=8), min_size=1, max_size=6))
def test_padding_is_masked(texts):
    batch = pad([np.array(text) for text in texts])
    assert batch.inputs.shape == batch.attention_mask.shape
    assert batch.inputs.shape == (len(texts), max(map(len, texts)))
    for text, ids, mask in zip(texts, batch.inputs, batch.attention_mask, strict=True):
        assert ids[: len(text)].tolist() == text
        assert (ids[len(text) :] == PAD_ID).all()
        assert mask.tolist() == [1] * len(text) + [0] * (len(ids) - len(text))


@given(st.lists(st.lists(st.sampled_from("abx"), max_size=6).map(" ".join), max_size=6), st.data())
def test_encoding_together_gives_the_same_ids_and_batches(texts, data):
    encoder = Encoder(TOKENIZER, max_length=4, keep="both")
    encoded, together = encoder.encode(texts), encoder.encode_together(texts)
    assert len(together) == len(texts)
    assert together.truncated.tolist() == [text.truncated for text in encoded]
    assert together.is_empty.tolist() == [text.is_empty for text in encoded]
    if texts:
        rows = data.draw(st.lists(st.sampled_from(range(len(texts))), min_size=1))
        batch = together.batch(np.array(rows), together.starts)
        expected = pad([encoded[row].ids for row in rows])
        assert batch.inputs.tolist() == expected.inputs.tolist()
        assert batch.attention_mask.tolist() == expected.attention_mask.tolist()
        kept = np.arange(len(texts)) % 2 == 0
        left = together.only(kept)
        assert left.ids.tolist() == [i for text in encoded[::2] for i in text.ids.tolist()]


@given(
    st.lists(st.lists(st.integers(3, 99), max_size=20), min_size=1, max_size=6), st.integers(2, 8)
)
def test_windows_are_the_tokens_of_a_text_in_order(texts, max_length):
    lengths = np.array([1 + len(text) for text in texts])
    ids = np.array([token for text in texts for token in (CLS_ID, *text)])
    windows = Ragged(ids, lengths, np.zeros(len(texts), dtype=np.bool_)).windows(max_length)
    counts = num_windows(lengths, max_length)
    assert len(windows) == counts.sum()
    assert windows.lengths.max() <= max_length
    assert (windows.ids[windows.starts] == CLS_ID).all()
    parts = iter(np.split(windows.ids, windows.starts[1:]))
    for text, count in zip(texts, counts, strict=True):
        of_text = [next(parts).tolist()[1:] for _ in range(count)]
        assert list(chain.from_iterable(of_text)) == text
        sizes = [len(part) for part in of_text]
        assert max(sizes) - min(sizes) <= 1
        assert sizes == sorted(sizes, reverse=True)


def test_a_text_is_truncated_to_all_windows_together():
    encoder = Encoder(TOKENIZER, max_length=3, windows=3)
    complete, truncated = encoder.encode(["a b c d e f", "a b c d e f g"])
    assert complete.ids.tolist() == truncated.ids.tolist() == TOKENIZER.encode("a b c d e f").ids
    assert (complete.truncated, truncated.truncated) == (False, True)
