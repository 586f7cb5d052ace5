"""Sequences of numbers as the network reads them: bounded, padded, side by side."""

import numpy as np
import pytest

from gatewise.vocab.tokenizer.encoding import Ragged, pad
from gatewise.vocab.tokenizer.sequence_encoding import MissingCounter, SequenceEncoder


@pytest.mark.parametrize(
    ("keep", "kept"),
    [("head", [0, 1, 2, 3, 4]), ("tail", [3, 4, 5, 6, 7]), ("both", [0, 1, 2, 6, 7])],
)
def test_as_many_steps_as_allowed_are_read(keep, kept):
    (long, short) = SequenceEncoder(1, 5, keep).encode(["[0, 1, 2, 3, 4, 5, 6, 7]", "[8]"])
    assert (long.ids[:, 0].tolist(), long.truncated) == (kept, True)
    assert (short.ids.tolist(), short.truncated, short.is_empty) == ([[8.0]], False, False)


def test_batches_are_padded_behind_the_last_step():
    encoder = SequenceEncoder(2, 10)
    sequences = [np.ones((steps, 2), np.float32) for steps in (3, 1)]
    batch = pad([each.ids for each in encoder.encode(sequences)])
    assert batch.by_name.keys() == {"input_values", "attention_mask"}
    assert batch.inputs[1].tolist() == [[1, 1], [0, 0], [0, 0]]
    assert batch.attention_mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    ragged = encoder.encode_together(sequences)
    again = ragged.batch(np.array([0, 1]), ragged.starts)
    np.testing.assert_array_equal(again.inputs, batch.inputs)
    np.testing.assert_array_equal(again.attention_mask, batch.attention_mask)
    assert ragged.only(np.array([False, True])).ids.tolist() == [[1, 1]]


def test_a_missing_sequence_has_no_step():
    encoder = SequenceEncoder(2, 10)
    missing = np.empty((0, 2), np.float32)
    assert encoder.encode([missing])[0].is_empty
    ragged = encoder.encode_together([missing, np.ones((1, 2), np.float32)])
    assert ragged.is_empty.tolist() == [True, False]
    assert not len(Ragged.of([]))


def test_missing_numbers_are_counted():
    sequences = [np.array([[1, np.nan]], np.float32), np.ones((2, 2), np.float32)]
    found = MissingCounter().count(sequences)
    assert (found.tokens, found.known, found.unknown) == (6, 5, 1)
    assert MissingCounter().count_unknown(sequences) == 1
