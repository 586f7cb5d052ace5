"""Explanations, checked on a linear model with known weights and on a trained one."""

import numpy as np
import pytest

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.explanation import MAX_SPANS, MAX_TOKENS, cost, explain
from gatewise.service.model.scores import apply, log_odds
from gatewise.vocab.tokenizer.encoding import Encoded, Encoder
from gatewise.vocab.tokenizer.tokenizer import UNKNOWN_ID

TEXTS = [
    "Bitte geben Sie eine gültige Adresse ein.",
    "Je voudrais un café, s'il vous plaît 👩‍👩‍👧",
    "東京は大きい",
    "Καλημέρα σας",
    "x",
]


@pytest.fixture(scope="module")
def linear(multi_label_folder):
    return Classifier.load(multi_label_folder)


def shares_of(classifier, text, index=None):
    (found,) = explain(classifier, classifier.locate([text]), index)
    return {text[share.start : share.end]: share.share for share in found.shares}, found


class TestMeaning:
    def test_shares_of_a_linear_model_are_its_weights(self, linear):
        shares, found = shares_of(linear, "Blue, reddish GREY")
        assert shares == {"Blue": 6, ",": 0, "reddish": 0, "GREY": 0}
        assert linear.classes_[found.index] == "blue"
        # Without any word the log-odds are the bias, -3.
        assert found.log_odds == 3 == sum(shares.values()) - 3

    def test_label_to_explain_can_be_chosen(self, linear):
        shares, found = shares_of(linear, "blue reddish grey", index=2)
        assert (shares, found.log_odds) == ({"blue": 0, "reddish": 1, "grey": 0}, -2)

    def test_share_is_the_drop_in_log_odds_without_the_tokens(self, classifier):
        for text, located in zip(TEXTS, classifier.locate(TEXTS), strict=True):
            (found,) = explain(classifier, [located])
            (whole,) = classifier.predict_proba([text]).astype(float)
            assert found.index == whole.argmax()
            odds = np.log(whole / (1 - whole))[found.index]
            assert found.log_odds == pytest.approx(odds, abs=2e-3)
            assert len(found.shares) == len(located.spans)
            for share, span in zip(found.shares, located.spans, strict=True):
                assert (share.start, share.end) == (span.start, span.end)
                ids = located.encoded.ids.copy()
                ids[list(span.tokens)] = UNKNOWN_ID
                (without,) = classifier.probabilities([Encoded(ids, False)]).astype(float)
                left = np.log(without / (1 - without))[found.index]
                assert share.share == pytest.approx(odds - left, abs=4e-3)
            assert any(abs(share.share) > 0.05 for share in found.shares)

    def test_log_odds_stay_exact_where_probabilities_round_to_one(self):
        logits = np.array([[60, 0, 0], [90, 0, 0]], dtype=np.float32)
        assert (apply("softmax", logits)[:, 0] == 1).all()
        found = log_odds("softmax", logits, np.array([0, 0]))
        np.testing.assert_allclose(found, np.array([60, 90]) - np.log(2))

    def test_removing_the_largest_shares_lowers_the_probability_most(self, classifier):
        text = TEXTS[0]
        (located,) = classifier.locate([text])
        (found,) = explain(classifier, [located])
        ranked = np.argsort([-share.share for share in found.shares])

        def probability(positions):
            ids = located.encoded.ids.copy()
            ids[1 + positions] = UNKNOWN_ID  # one token a span: a model of characters
            return classifier.probabilities([Encoded(ids, False)])[0, found.index]

        third = len(ranked) // 3
        assert probability(ranked[:third]) < probability(ranked[-third:])


class TestIndependence:
    def test_explanation_does_not_depend_on_the_batch(self, classifier):
        texts = [*TEXTS, "d" * 200, *reversed(TEXTS)]
        together = explain(classifier, classifier.locate(texts))
        for text, found in zip(texts, together, strict=True):
            (alone,) = explain(classifier, classifier.locate([text]))
            assert (alone.shares, alone.log_odds) == (found.shares, found.log_odds)
            np.testing.assert_array_equal(alone.logits, found.logits)

    def test_logits_are_those_of_a_prediction(self, classifier):
        together = explain(classifier, classifier.locate(TEXTS))
        expected = classifier.logits(classifier.encode(TEXTS))
        np.testing.assert_array_equal(np.stack([found.logits for found in together]), expected)


class TestLimits:
    def test_text_without_a_token_has_no_shares(self, classifier):
        shares, found = shares_of(classifier, "\u200b")
        assert shares == {}
        assert not found.truncated

    def test_a_text_of_100_000_characters(self, classifier):
        text = "Wo ist hier bitte der Bahnhof? " * 3226
        (located,) = classifier.locate([text])
        (found,) = explain(classifier, [located])
        assert len(text) > 100_000
        assert found.truncated
        assert len(found.shares) == 63  # of 64 tokens, one being the begin mark
        assert found.shares[-1].end <= 64

    @pytest.mark.parametrize("max_length", [100, 4096, MAX_TOKENS])
    def test_cost_is_bounded_for_any_length(self, classifier, max_length):
        encoder = Encoder(classifier.artifact.tokenizer, max_length)
        (located,) = encoder.locate(["ab c" * 25_000])
        assert cost(located) <= max(MAX_TOKENS, 2 * max_length)

    @pytest.mark.parametrize("keep", ["head", "tail", "both"])
    def test_spans_of_a_long_text_cover_what_was_read(self, classifier, keep):
        encoder = Encoder(classifier.artifact.tokenizer, 1000, keep)
        text = " ".join(map(str, range(2000)))
        (located,) = encoder.locate([text])
        (found,) = explain(classifier, [located])
        sixty = MAX_TOKENS // 1000 - 1
        assert sixty <= len(found.shares) <= sixty + 1 <= MAX_SPANS
        read = "".join(text[share.start : share.end] for share in found.shares)
        expected = {"head": text[:999], "tail": text[-999:], "both": text[:500] + text[-499:]}
        assert "".join(read.split()) == "".join(expected[keep].split())
        widths = [share.end - share.start for share in found.shares]
        assert max(widths) <= -(-999 // sixty) + 1
        if keep == "both":
            assert any(share.end in (499, 500) for share in found.shares)


def test_small_numbers_keep_their_digits(numbers_run, scaled_numbers):
    text = "the film was superb"
    expected, found = (
        explain(classifier, classifier.locate([text]))[0]
        for classifier in map(Classifier.load, (numbers_run[1], scaled_numbers(1e-7)))
    )
    assert found.log_odds == pytest.approx(1e-7 * expected.log_odds, rel=1e-5)
    shares = [each.share for each in found.shares]
    assert shares == pytest.approx([1e-7 * each.share for each in expected.shares], abs=1e-10)
    assert max(map(abs, shares)) > 1e-7
