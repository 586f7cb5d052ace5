"""The streaming classifier: same scores as the classifier, at a constant cost per piece."""

import gc
import itertools
import json
import shutil
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import Manifest
from gatewise.service.model.model_folder import ModelFolder, read_model_folder, seal_model_folder
from gatewise.service.model.streaming_classifier import (
    StreamingClassifier,
    StreamingError,
    TextTooLongError,
)
from gatewise.vocab.errors import EmptyTextError, TextsError
from gatewise.vocab.tokenizer.incremental_tokenizer import EndlessWordError, TokenDelta

UNITS = [
    ["tokens.unit=word"],
    ["tokens.unit=character", "tokens.lowercase=false", "network.cell=gru"],
    ["tokens.unit=subword", "network.readout=attention", "network.layers=2"],
    ["tokens.unit=subword", "tokens.normalization=nfkc", "network.cell=rnn", "network.ngrams=[]"],
    ["tokens.unit=character", "tokens.normalization=nfc", "network.readout=last"],
    ["tokens.unit=word", "tokens.normalization=nfd", "tokens.accents=strip", "network.readout=max"],
    ["tokens.unit=word", "tokens.max_length=8", "network.readout=mean"],
    ["tokens.unit=character", "tokens.max_length=8"],
]
PARTS = [
    *"abcWoif ßİΣ .,'[]-PADUNKCLS",
    *"\u0301\u0308\u0327\u3099\u093c",
    *" \n\xa0\u3000\u200b\u200d\ufe0f",
    *"日がか한ᄒ\u1161\u11ab👩👍🏽☃①ﬁＰＡＤ［］",
    *["[PAD]", "[UNK]", "[CLS]", "the", " words ", "👩‍👩‍👧", "☃ ☃", "[P\u200bAD]", "a b"],
]


@pytest.fixture(scope="module")
def pairs(forward_folder):
    """Models with every kind of dictionary: `(classifier, streaming classifier)`."""
    loaded = [read_model_folder(forward_folder(*unit)) for unit in UNITS]
    return [(Classifier(each), StreamingClassifier(each)) for each in loaded]


@pytest.fixture(scope="module")
def words(pairs):
    return pairs[0]


def agrees_after_every_piece(classifier, streaming, pieces):
    stream = streaming.stream()
    scores = []
    for number, piece in enumerate(pieces):
        scores += stream.feed(piece)
        so_far = "".join(pieces[: number + 1])
        (encoded,) = classifier.encode([so_far])
        assert stream.truncated == encoded.truncated
        if encoded.is_empty:
            with pytest.raises(EmptyTextError):
                stream.latest()
            continue
        received = stream.latest()
        assert received.tokens == len(encoded.ids) - 1
        expected = classifier.predict_proba([so_far])[0]
        np.testing.assert_allclose(received.scores, expected, rtol=0, atol=1e-5)
        assert scores[-1].tokens >= received.tokens
    return scores


@settings(max_examples=150)
@given(data=st.data())
def test_scores_after_every_piece_are_those_of_the_classifier(pairs, data):
    parts = st.one_of(st.sampled_from(PARTS), st.characters(exclude_categories=["Cs"]))
    pieces = data.draw(st.lists(st.lists(parts, max_size=5).map("".join), min_size=1, max_size=10))
    agrees_after_every_piece(*data.draw(st.sampled_from(pairs)), pieces)


@pytest.mark.parametrize("number", range(len(UNITS)))
def test_text_by_character_or_at_once_has_the_same_scores(pairs, number):
    classifier, streaming = pairs[number]
    text = " ".join(["Wo ist der café? 駅が 👩‍👩‍👧 [PAD] ab ab ab", "a b c " * 8, "one two, three"])
    agrees_after_every_piece(classifier, streaming, list(text))
    agrees_after_every_piece(classifier, streaming, [text])


def test_feed_returns_scores_after_every_token(words):
    classifier, streaming = words
    scores = streaming.stream().feed("one two three one")
    assert [each.tokens for each in scores] == [1, 2, 3, 4]
    texts = ["one", "one two", "one two three", "one two three one"]
    for each, expected in zip(scores, classifier.predict_proba(texts), strict=True):
        np.testing.assert_allclose(each.scores, expected, rtol=0, atol=1e-5)


def test_unfinished_word_is_read_again_only_if_it_changed(words):
    stream = words[1].stream()
    counts = [
        [each.tokens for each in stream.feed(piece)] for piece in ["tw", "o", " ", "th", "ree"]
    ]
    # Both "tw" and "th" are unknown; the white space ends "two" and changes nothing of it.
    assert counts == [[1], [1], [], [2], [2]]


def test_vanished_open_token_changes_the_scores(words):
    classifier, streaming = words
    stream = streaming.stream()
    (both,) = classifier.encode(["one two"])
    one, two = both.ids[1:].tolist()
    # No real tokenizer is known to take a token back without changing another.
    for open_ids, counts in (([one, two], [1, 2]), ([one], [1]), ([], [])):
        with mock.patch.object(stream._text, "add", return_value=TokenDelta([], open_ids)):
            assert [each.tokens for each in stream.feed("?")] == counts
    with pytest.raises(EmptyTextError):
        stream.latest()


def test_open_tokens_are_not_read_if_more_text_is_available_but_at_the_end(words):
    classifier, streaming = words
    stream = streaming.stream()
    assert [each.tokens for each in stream.feed("one tw", more=True)] == [1]
    assert [each.tokens for each in stream.feed("o three", more=True)] == [2]
    expected = classifier.predict_proba(["one two three"])[0]
    np.testing.assert_allclose(stream.end().scores, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("unit", "multi_label", "pieces"),
    [
        ("word", True, ["one t", "wo"]),
        # A long word, whose tokens stay open.
        ("subword", False, ["xyzq" * 10, "zyx", "qqq" * 10, "x", " ", "one"]),
    ],
)
def test_scores_of_other_models_and_words(forward_folder, unit, multi_label, pieces):
    folder = forward_folder(f"tokens.unit={unit}", multi_label=multi_label)
    loaded = read_model_folder(folder)
    agrees_after_every_piece(Classifier(loaded), StreamingClassifier(loaded), pieces)


class Counting:
    """A session that counts how often it is run."""

    def __init__(self, session):
        self._session = session
        self.runs = 0

    def run(self, *arguments):
        self.runs += 1
        return self._session.run(*arguments)


@pytest.mark.parametrize("unit", ["word", "character", "subword"])
def test_cost_of_a_piece_does_not_grow_with_the_text(forward_folder, unit):
    folder = forward_folder(f"tokens.unit={unit}", "tokens.max_length=8000")
    streaming = StreamingClassifier.load(folder)
    counting = streaming._session = Counting(streaming._session)
    stream = streaming.stream()
    work = []
    # The pieces repeat, so only the length of the text before them differs.
    for piece in itertools.islice(itertools.cycle(["one tw", "o th", "ree "]), 900):
        counting.runs = 0
        stream.feed(piece)
        work.append((counting.runs, len(stream._text._open)))
    assert stream.latest().tokens > 800
    assert work[30:33] * 290 == work[30:]
    assert max(runs for runs, _ in work) <= 8
    first, last = (
        sum(state.nbytes for state in checkpoint.states)
        for checkpoint in (streaming.start, stream._final)
    )
    assert first == last


def test_number_of_cached_states_is_bounded(forward_folder, monkeypatch):
    streaming = StreamingClassifier.load(forward_folder("tokens.unit=subword"))
    read, counts = StreamingClassifier.read, []

    def counting(self, token, point):
        if point.tokens % 50 == 49:
            counts.append(sum(type(each) is type(point) for each in gc.get_objects()))
        return read(self, token, point)

    monkeypatch.setattr(StreamingClassifier, "read", counting)
    before = sum(type(each) is type(streaming.start) for each in gc.get_objects())
    stream = streaming.stream()
    stream.feed("one two three " * 60)
    stream.feed("xyzq" * 60)
    assert stream.tokens > 300
    assert len(counts) > 5
    assert max(counts) <= before + 20


def test_text_beyond_the_maximum_length_is_not_read(forward_folder):
    streaming = StreamingClassifier.load(forward_folder("tokens.unit=word", "tokens.max_length=8"))
    counting = streaming._session = Counting(streaming._session)
    stream = streaming.stream()
    stream.feed("one two three " * 5)
    assert (counting.runs, stream.truncated) == (7, True)
    stream._text = None  # no longer used
    assert stream.feed("one two three") == []
    assert stream.latest().tokens == 7


@pytest.mark.parametrize("keep", ["tail", "both"])
def test_model_that_keeps_the_end_refuses_texts_beyond_the_maximum_length(forward_folder, keep):
    loaded = read_model_folder(forward_folder("tokens.max_length=8", f"tokens.keep={keep}"))
    classifier, streaming = Classifier(loaded), StreamingClassifier(loaded)
    agrees_after_every_piece(classifier, streaming, ["one two ", "three one two three o", "ne"])
    stream = streaming.stream()
    with pytest.raises(
        TextTooLongError, match=r"at most 7 tokens: .* train with tokens\.keep=head"
    ):
        stream.feed("one " * 8)
    with pytest.raises(TextTooLongError):
        stream.feed("the error stays")


def test_trained_model_streams_the_scores_of_the_classifier(forward_model_folder):
    loaded = read_model_folder(forward_model_folder)
    text = "Bitte geben Sie eine gültige Adresse ein, und versuchen Sie es noch einmal! 有効な"
    pieces = [text[start : start + 5] for start in range(0, len(text), 5)]
    scores = agrees_after_every_piece(Classifier(loaded), StreamingClassifier(loaded), pieces)
    assert scores[-1].tokens == 63


def test_streams_are_independent(words):
    classifier, streaming = words
    streams = [streaming.stream() for _ in range(3)]
    texts = ["one two three", "two words of", "a b c aa"]
    for pieces in itertools.zip_longest(*texts, fillvalue=""):
        for stream, piece in zip(streams, pieces, strict=True):
            stream.feed(piece)
    for stream, expected in zip(streams, classifier.predict_proba(texts), strict=True):
        np.testing.assert_allclose(stream.end().scores, expected, rtol=0, atol=1e-5)


def test_text_that_cannot_be_classified_is_an_error(pairs):
    stream = pairs[0][1].stream()
    with pytest.raises(TextsError, match=r"expected the next characters of a text, .* type list"):
        stream.feed(["one"])
    assert stream.feed(" \u200b\n") == []
    with pytest.raises(EmptyTextError):
        stream.end()
    stream = pairs[2][1].stream()
    for piece in ("ab" * 1000, " "):  # the error stays
        with pytest.raises(EndlessWordError):
            stream.feed(piece)


def test_models_that_cannot_stream_are_refused(model_folder, forward_folder, tmp_path):
    with pytest.raises(
        StreamingError, match=r"direction=bidirectional.* network\.direction=forward"
    ):
        StreamingClassifier.load(model_folder)
    with pytest.raises(StreamingError, match=r"tokens\.unit=word, subword or character"):
        StreamingClassifier.load(forward_folder("tokens.unit=ngram"))
    with pytest.raises(StreamingError, match=r"up to 2 windows .* train with tokens\.windows=1"):
        StreamingClassifier.load(forward_folder("tokens.windows=2"))
    with pytest.raises(StreamingError, match="not int8: load the model in fp32"):
        StreamingClassifier(read_model_folder(forward_folder(), "int8"))
    folder = ModelFolder(shutil.copytree(forward_folder("network.ngrams=[]"), tmp_path / "model"))
    folder.step.unlink()
    manifest = json.loads(folder.manifest.read_bytes())
    seal_model_folder(folder, Manifest.model_validate(manifest))
    # The whole network has no operator that the other has not, but for those of the mask.
    manifest["operators"] = sorted(operators_of(folder))
    seal_model_folder(folder, Manifest.model_validate(manifest))
    Classifier.load(folder.path)
    with pytest.raises(StreamingError, match=r"holds no onnx/step\.onnx"):
        StreamingClassifier.load(folder.path)


def operators_of(folder):
    import onnx

    paths = folder.path.glob("onnx/*.onnx")
    return {node.op_type for path in paths for node in onnx.load(path).graph.node}


def test_only_forward_models_have_a_step_network(model_folder, forward_folder):
    assert not ModelFolder(model_folder).step.exists()
    assert not ModelFolder(forward_folder("tokens.unit=ngram")).step.exists()
    folder = ModelFolder(forward_folder())
    assert folder.name_of(folder.step) in read_model_folder(folder.path).manifest.files
