"""The other classifiers learn, and choose their settings on the validation rows alone."""

import pytest


@pytest.fixture(scope="module")
def peers(benchmark_module):
    return benchmark_module("peers")


@pytest.fixture(scope="module")
def split(benchmark_module, weather):
    return benchmark_module("splits").read(weather / "trec6").split(1)


@pytest.mark.parametrize("kind", ["svc", "lr"])
def test_a_bag_of_words_learns(peers, split, kind):
    outcome = peers.Tfidf("a bag", kind).measure(split, 1)
    assert outcome.accuracy == outcome.validation == 1
    assert outcome.seconds > 0
    assert outcome.chosen.startswith("C=")


def test_fasttext_learns(peers, split):
    pytest.importorskip("fasttext")
    told = []

    def seconds(name, seed):
        told.append((name, seed))
        return 1

    outcome = peers.FastText(seconds, lambda _: {}).measure(split, 2)
    assert told == [("trec6", 2)]
    assert outcome.accuracy > 0.5
    assert "wordNgrams=" in outcome.chosen


def test_no_test_label_is_looked_at(peers, split, benchmark_module):
    swapped = {"warm": "cold", "cold": "warm"}
    test = split.test
    other = benchmark_module("splits").Part(test.texts, tuple(swapped[x] for x in test.labels))
    wrong = type(split)(split.name, split.train, split.validation, other)
    for kind in ("svc", "lr"):
        bag = peers.Tfidf("a bag", kind)
        right, turned = bag.measure(split, 1), bag.measure(wrong, 1)
        assert right.accuracy == pytest.approx(1 - turned.accuracy)
        assert right.chosen == turned.chosen


class _Scored:
    def __init__(self, score):
        self._score = score

    def fit(self, features, labels):
        return self

    def score(self, features, labels):
        return self._score


@pytest.mark.parametrize(
    ("scores", "best", "tried"),
    [
        ([0.1, 0.2, 0.3, 0.4], 4, 4),
        ([0.3, 0.2, 0.2, 0.4], 1, 3),  # two in a row that are worse
        ([0.3, 0.3, 0.3, 0.4], 4, 4),  # as good is not worse: C may be too low to tell anything
        ([0.2, 0.1, 0.3, 0.3], 3, 4),
    ],
)
def test_the_grid_is_walked_up_until_it_does_harm(peers, scores, best, tried):
    asked = []

    def fitted(c):
        asked.append(c)
        return _Scored(scores[int(c) - 1])

    found = peers.best_of((1, 2, 3, 4), fitted, None, [])
    assert found.c == best
    assert found.validation == max(scores[:tried])
    assert len(asked) == tried


def test_long_texts_have_bounded_features(peers, split, monkeypatch):
    def features(part):
        return [step.max_features for _, step in peers.tfidf(part).transformer_list]

    assert features(split.train) == [None, None]
    monkeypatch.setattr(peers, "_LONG", 100)
    assert features(split.train) == [500_000, 500_000]


def test_words_of_scripts_without_spaces(peers):
    assert peers.words("体验2D巅峰 Ça va?") == ["体", "验", "2d", "巅", "峰", "ça", "va", "?"]
