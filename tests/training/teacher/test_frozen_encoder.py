import numpy as np
import pytest

from gatewise.training.teacher.encoder_folder import read_encoder_folder
from gatewise.training.teacher.frozen_encoder import FrozenEncoder


@pytest.fixture(params=[2, 3], ids=["two labels", "three labels"])
def drawn(request):
    """Vectors around the centre of one label each, and which label each has."""
    generator = np.random.default_rng(0)
    labels = np.arange(90) % request.param
    vectors = generator.normal(size=(request.param, 16))[labels] + generator.normal(size=(90, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), labels[:, None] == np.arange(request.param)


def teacher(encoder, **options):
    return FrozenEncoder(read_encoder_folder(encoder), seed=1, **{"multi_label": False, **options})


def test_it_learns_one_label_a_text(encoder, drawn):
    vectors, truth = drawn
    found = teacher(encoder)
    found.learn(vectors[:60], truth[:60])
    probabilities = found.probabilities(vectors[60:])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == truth[60:].argmax(axis=1)).mean() > 0.8
    # As sure as it is right, about.
    right = probabilities[truth[60:]]
    assert -np.log(right).mean() < 0.6


def test_it_learns_several_labels_a_text_and_those_that_all_or_none_have(encoder):
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(80, 16)).astype(np.float32)
    truth = np.stack([vectors[:, 0] > 0, vectors[:, 1] > 0, np.ones(80), np.zeros(80)], axis=1) > 0
    found = teacher(encoder, multi_label=True)
    found.learn(vectors, truth)
    probabilities = found.probabilities(vectors)
    assert ((probabilities >= 0.5) == truth).mean() > 0.95
    assert (probabilities[:, 2] > 0.9).all()
    assert (probabilities[:, 3] < 0.1).all()


def test_one_row_a_label_is_enough(encoder):
    found = teacher(encoder)
    found.learn(np.eye(16, dtype=np.float32)[:3], np.eye(3, dtype=np.bool_))
    assert found.probabilities(np.eye(16, dtype=np.float32)[:3]).argmax(axis=1).tolist() == [
        0,
        1,
        2,
    ]


def test_a_fold_may_have_rows_of_one_label_only(encoder):
    vectors = np.random.default_rng(0).normal(size=(21, 16)).astype(np.float32)
    truth = np.eye(2, dtype=np.bool_)[[0] * 20 + [1]]
    vectors[20] = 5
    found = teacher(encoder)
    found.learn(vectors, truth)
    assert (found.probabilities(vectors).argmax(axis=1) == truth.argmax(axis=1)).all()


def test_words_of_its_topics_are_similar(encoder):
    found = teacher(encoder).similar_words(["bread", "hotel", "the", "unheard"])
    assert {"soup", "cheese"} <= set(found["bread"])
    assert not set(found["bread"]) & {"train", "hotel", "bank"}
    assert "unheard" not in found
