"""Streamed sequences of numbers: after each step the answer is that of the whole model."""

import numpy as np
import pytest

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_folder import read_model_folder
from gatewise.service.model.streaming_classifier import (
    StreamingClassifier,
    StreamingError,
    TextTooLongError,
    is_streamed,
)
from gatewise.vocab.errors import EmptyTextError, SequenceError

# The settings of each model, its features and its labels; one label is a number around 300.
MODELS = [
    (["network.cell=gru", "network.readout=last"], 1, 1),
    (["network.cell=lstm", "network.readout=attention", "network.layers=2"], 3, 1),
    (["network.cell=rnn", "network.readout=max_mean", "sequence.scale=none"], 2, 1),
    (["network.cell=gru", "network.readout=mean", "tokens.max_length=8"], 1, 3),
    (["network.cell=lstm", "network.readout=max", "tokens.max_length=8"], 2, 4),
]


def pair(folder):
    loaded = read_model_folder(folder)
    assert is_streamed(loaded)
    return Classifier(loaded), StreamingClassifier(loaded)


def sequence(steps, features, *, around=500):
    generator = np.random.default_rng(steps)
    numbers = generator.normal(around, 30, (steps, features)).astype(np.float32)
    numbers[generator.random(numbers.shape) < 0.3] = np.nan
    return numbers


def agrees(classifier, found, numbers):
    """Whether scores are those of the classifier: to 1e-5, or to 1e-5 of the numbers' deviation."""
    if classifier.task == "regression":
        expected, atol = classifier.predict([numbers]), 50 * 1e-5
    else:
        (expected,), atol = classifier.predict_proba([numbers]), 1e-5
    np.testing.assert_allclose(found.scores, expected, rtol=1e-6, atol=atol)


@pytest.mark.parametrize(("settings", "features", "labels"), MODELS)
def test_after_each_step_the_answer_is_that_of_the_classifier(
    forward_folder, settings, features, labels
):
    classifier, streaming = pair(forward_folder(*settings, features=features, labels=labels))
    maximum = streaming.artifact.config.gatewise.tokens.max_length
    numbers = sequence(24, features, around=0 if "sequence.scale=none" in settings else 500)
    stream = streaming.stream()
    for steps in range(1, 25):
        read = stream.feed(numbers[steps - 1 : steps])
        assert [each.tokens for each in read] == [steps] * (steps <= maximum)
        agrees(classifier, stream.latest(), numbers[:steps])
        assert stream.truncated == (steps > maximum)
    at_once = streaming.stream()
    read = at_once.feed(numbers)
    assert len(read) == min(24, maximum)
    np.testing.assert_array_equal(at_once.end().scores, stream.end().scores)
    assert (at_once.tokens, at_once.truncated) == (stream.tokens, stream.truncated)


@pytest.mark.parametrize(
    ("features", "pieces", "steps"),
    [
        (1, [3.5, None, [1, 2], [[4], [5]], np.float32(1), np.array([1.0, 2.0])], 9),
        (2, [[1, 2], [None, 3.0], [[4, 5], [6, 7]], np.zeros(2), np.zeros((2, 2))], 7),
    ],
)
def test_a_piece_is_a_step_or_several(forward_folder, features, pieces, steps):
    stream = StreamingClassifier.load(forward_folder(features=features)).stream()
    read = [each.tokens for piece in pieces for each in stream.feed(piece)]
    assert read == list(range(1, steps + 1))


@pytest.mark.parametrize(
    ("features", "piece", "message"),
    [
        (2, [1, 2, 3], "expected vectors of 2 numbers, received vectors of 3"),
        (2, 1.0, "expected vectors of 2 numbers, received numbers"),
        (2, None, "expected vectors of 2 numbers, received numbers"),
        (1, [[1, 2]], "expected numbers, received vectors of 2"),
        (1, float("inf"), "expected a finite number"),
        (1, "[1, 2]", r"expected a number or null, received '\[1, 2\]'"),
        (2, "text", "expected a number or null, received 'text'"),
        (1, True, "expected a number or null, received True"),
        (1, [], "the sequence is empty"),
        (2, [], "the sequence is empty"),
    ],
)
def test_a_bad_piece_is_refused_and_changes_nothing(forward_folder, features, piece, message):
    streaming = StreamingClassifier.load(forward_folder("tokens.max_length=8", features=features))
    stream = streaming.stream()
    for steps in (3, 8):  # before the maximum length and after it
        stream.feed(sequence(steps, features))
        before = stream.latest()
        with pytest.raises(SequenceError, match=message):
            stream.feed(piece)
        assert stream.latest().tokens == before.tokens
        np.testing.assert_array_equal(stream.latest().scores, before.scores)


def test_the_end_of_longer_sequences_is_not_known_in_advance(forward_folder):
    settings = ("tokens.max_length=8", "tokens.keep=tail")
    classifier, streaming = pair(forward_folder(*settings, features=1))
    stream = streaming.stream()
    numbers = sequence(8, 1)
    agrees(classifier, stream.feed(numbers)[-1], numbers)
    with pytest.raises(TextTooLongError, match=r"at most 8 steps: .* a longer sequence"):
        stream.feed(1.0)


def test_what_cannot_be_streamed_is_refused(gestures_run, forward_folder):
    with pytest.raises(StreamingError, match=r"direction=bidirectional.* network\.direction=forw"):
        StreamingClassifier.load(gestures_run[1])
    assert not is_streamed(read_model_folder(gestures_run[1]))
    with pytest.raises(EmptyTextError, match="the sequence is empty: it holds no step"):
        StreamingClassifier.load(forward_folder(features=1)).stream().end()
