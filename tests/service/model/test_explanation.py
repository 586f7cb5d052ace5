"""Explanations of a linear model, whose shares are known, and of a trained one."""

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
def colours(multi_label_folder):
    return Classifier.load(multi_label_folder)


def shares_of(classifier, text, index=None):
    (found,) = explain(classifier, classifier.locate([text]), index)
    return {text[share.start : share.end]: share.share for share in found.attributions}, found


class TestMeaning:
    def test_the_shares_of_a_linear_model_are_its_weights(self, colours):
        shares, found = shares_of(colours, "Blue, reddish GREY")
        assert shares == {"Blue": 6, ",": 0, "reddish": 0, "GREY": 0}
        assert colours.classes_[found.index] == "blue"
        # The bias is -3.
        assert found.log_odds == 3 == sum(shares.values()) - 3

    def test_the_class_of_the_index_is_explained(self, colours):
        shares, found = shares_of(colours, "blue reddish grey", index=2)
        assert (shares, found.log_odds) == ({"blue": 0, "reddish": 1, "grey": 0}, -2)

    def test_a_share_is_the_decrease_of_the_log_odds(self, classifier):
        for text, located in zip(TEXTS, classifier.locate(TEXTS), strict=True):
            (found,) = explain(classifier, [located])
            (probabilities,) = classifier.predict_proba([text]).astype(float)
            assert found.index == probabilities.argmax()
            odds = np.log(probabilities / (1 - probabilities))[found.index]
            assert found.log_odds == pytest.approx(odds, abs=2e-3)
            assert len(found.attributions) == len(located.spans)
            for share, span in zip(found.attributions, located.spans, strict=True):
                assert (share.start, share.end) == (span.start, span.end)
                ids = located.encoded.ids.copy()
                ids[list(span.tokens)] = UNKNOWN_ID
                (without,) = classifier.probabilities([Encoded(ids, False)]).astype(float)
                left = np.log(without / (1 - without))[found.index]
                assert share.share == pytest.approx(odds - left, abs=4e-3)
            assert any(abs(share.share) > 0.05 for share in found.attributions)

    def test_log_odds_differ_where_probabilities_round_to_1(self):
        logits = np.array([[60, 0, 0], [90, 0, 0]], dtype=np.float32)
        assert (apply("softmax", logits)[:, 0] == 1).all()
        found = log_odds("softmax", logits, np.array([0, 0]))
        np.testing.assert_allclose(found, np.array([60, 90]) - np.log(2))

    def test_the_largest_shares_decide(self, classifier):
        text = TEXTS[0]
        (located,) = classifier.locate([text])
        (found,) = explain(classifier, [located])
        ranked = np.argsort([-share.share for share in found.attributions])

        def probability(positions):
            ids = located.encoded.ids.copy()
            ids[1 + positions] = UNKNOWN_ID  # a character model has one token per span
            return classifier.probabilities([Encoded(ids, False)])[0, found.index]

        third = len(ranked) // 3
        assert probability(ranked[:third]) < probability(ranked[-third:])


class TestIndependence:
    def test_an_explanation_does_not_depend_on_other_texts(self, classifier):
        texts = [*TEXTS, "d" * 200, *reversed(TEXTS)]
        together = explain(classifier, classifier.locate(texts))
        for text, found in zip(texts, together, strict=True):
            (alone,) = explain(classifier, classifier.locate([text]))
            assert (alone.attributions, alone.log_odds) == (found.attributions, found.log_odds)
            np.testing.assert_array_equal(alone.logits, found.logits)

    def test_the_logits_are_those_of_a_prediction(self, classifier):
        together = explain(classifier, classifier.locate(TEXTS))
        expected = classifier.logits(classifier.encode(TEXTS))
        np.testing.assert_array_equal(np.stack([found.logits for found in together]), expected)


class TestLimits:
    @pytest.mark.parametrize("text", ["", " \n"])
    def test_a_text_without_a_token_has_no_shares(self, classifier, text):
        shares, found = shares_of(classifier, text)
        assert shares == {}
        assert not found.truncated

    def test_a_text_of_100_000_characters(self, classifier):
        text = "Wo ist hier bitte der Bahnhof? " * 3226
        (located,) = classifier.locate([text])
        (found,) = explain(classifier, [located])
        assert len(text) > 100_000
        assert found.truncated
        assert len(found.attributions) == 63  # 64 tokens, one of them [CLS]
        assert found.attributions[-1].end <= 64

    @pytest.mark.parametrize("max_length", [512, MAX_TOKENS])
    def test_the_cost_is_bounded_however_long_a_text(self, classifier, max_length):
        encoder = Encoder(classifier.artifact.tokenizer, max_length)
        (located,) = encoder.locate(["ab c" * 25_000])
        assert cost(located) <= max(MAX_TOKENS, 2 * max_length)

    @pytest.mark.parametrize("keep", ["head", "tail", "both"])
    def test_joined_spans_cover_the_tokens_that_were_read(self, classifier, keep):
        encoder = Encoder(classifier.artifact.tokenizer, 1000, keep)
        text = " ".join(map(str, range(2000)))
        (located,) = encoder.locate([text])
        (found,) = explain(classifier, [located])
        limit = MAX_TOKENS // 1000 - 1
        assert limit <= len(found.attributions) <= limit + 1 <= MAX_SPANS
        read = "".join(text[share.start : share.end] for share in found.attributions)
        expected = {"head": text[:999], "tail": text[-999:], "both": text[:500] + text[-499:]}
        assert "".join(read.split()) == "".join(expected[keep].split())
        widths = [share.end - share.start for share in found.attributions]
        assert max(widths) <= -(-999 // limit) + 1
        if keep == "both":
            assert any(share.end in (499, 500) for share in found.attributions)
