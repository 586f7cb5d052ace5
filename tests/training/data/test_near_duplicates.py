"""The search for similar signatures: what it finds, in which memory, and what it need not find."""

import numpy as np
import pytest

from gatewise.training.data import near_duplicates
from gatewise.training.data.minhash import LANES
from gatewise.training.data.near_duplicates import SignatureFile, band_width, find


def drawn(count, seed=0):
    return np.random.default_rng(seed).integers(0, 1 << 16, (count, LANES)).astype(np.uint16)


def changed(signature, lanes, seed):
    """The signature with so many lanes changed."""
    generator = np.random.default_rng(seed)
    other = signature.copy()
    other[generator.permutation(LANES)[:lanes]] ^= np.uint16(1)
    return other


@pytest.fixture
def search(tmp_path):
    """Looks for near-duplicates among signatures; parts are those of all texts, or one each."""

    def search(signatures, parts=1, similarity=0.8):
        file = SignatureFile(tmp_path)
        try:
            file.append(signatures)
            parts = np.broadcast_to(np.uint8(parts), len(signatures))
            return find(file, np.ones(len(signatures), dtype=np.bool_), parts, similarity)
        finally:
            file.close()

    return search


def test_lanes_come_back_from_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(near_duplicates, "_BLOCK", 7)
    file = SignatureFile(tmp_path)
    signatures = drawn(40)
    for start, end in ((0, 3), (3, 3), (3, 7), (7, 30), (30, 40)):
        file.append(signatures[start:end])
        for lane in (0, LANES - 1):
            assert (file.lane(lane) == signatures[:end, lane]).all()
    assert len(file) == 40
    assert not any(tmp_path.iterdir())  # it has no name
    file.close()


@pytest.mark.parametrize("similarity", [0.3, 0.8, 0.99])
def test_a_band_is_as_wide_as_it_may_be(similarity):
    def recall(width):
        return 1 - (1 - similarity**width) ** (LANES // width)

    width = band_width(similarity)
    assert recall(width) >= 0.99
    assert width == 8 or recall(width + 1) < 0.99


@pytest.mark.parametrize("similarity", [0.5, 0.95])
def test_what_reaches_the_similarity_is_found_and_nothing_else(search, similarity):
    originals = drawn(300)
    most = int((1 - similarity) * LANES)
    for lanes, expected in ((most, True), (most + 1, False)):
        others = [changed(original, lanes, seed) for seed, original in enumerate(originals)]
        found = search(np.concatenate([originals, others]), similarity=similarity)
        assert not found.earlier[:300].any()
        if expected:
            assert np.count_nonzero(found.earlier[300:]) >= 0.98 * 300
            assert (found.near[:300] == found.earlier[300:]).all()
        else:
            assert not found.near.any()


def test_parts_are_distinguished(search):
    train, validation, test = 1, 2, 4
    original, other = drawn(2)
    signatures = np.stack([original, other, changed(original, 9, 1), changed(original, 9, 2)])
    found = search(signatures, parts=[train, train | test, train | validation, test])
    assert found.near.tolist() == [train | validation | test, 0, train | test, train | validation]
    assert found.earlier.tolist() == [0, 0, train, 0]
    assert {
        parts: [(pair.first, pair.second) for pair in pairs]
        for parts, pairs in found.examples.items()
        if pairs
    } == {(0, 0): [(0, 2)], (0, 1): [(0, 2)], (0, 2): [(0, 3), (2, 3)], (1, 2): [(2, 3)]}
    assert found.examples[0, 0][0].similarity == (LANES - 9) / LANES


def test_examples_are_the_most_similar_pairs(search):
    originals = drawn(20)
    others = [changed(original, lanes, 1) for lanes, original in enumerate(originals)]
    found = search(np.concatenate([originals, others]), parts=[1] * 20 + [4] * 20)
    pairs = [(pair.first, pair.second, pair.similarity) for pair in found.examples[0, 2]]
    assert pairs == [(lanes, 20 + lanes, (LANES - lanes) / LANES) for lanes in range(5)]
    for count in (0, 1):
        found = search(originals[:count])
        assert found.near.tolist() == [0] * count
        assert not any(found.examples.values())


def test_a_crowd_is_linked_without_comparing_all(search, monkeypatch):
    (original,) = drawn(1)
    crowd = np.stack([changed(original, number % 10, number) for number in range(5000)])
    compared = []
    counted = near_duplicates._Search.compare

    def compare(self):
        compared.append(sum(map(len, self.pending)))
        counted(self)

    monkeypatch.setattr(near_duplicates._Search, "compare", compare)
    found = search(crowd, parts=[1] * 4990 + [4] * 10)
    assert not found.earlier[0]
    assert found.earlier[1:4990].all()
    assert (found.near[:4990] & 4).all()
    assert (found.near[4990:] & 1).all()
    assert sum(compared) < 10 * len(crowd)


def test_what_waits_for_comparison_is_bounded_and_changes_nothing(search, monkeypatch):
    originals = drawn(50)
    signatures = np.concatenate(
        [[changed(original, 8, seed) for original in originals] for seed in range(20)]
    )
    parts = np.random.default_rng(5).integers(1, 8, len(signatures))
    whole = search(signatures, parts)
    monkeypatch.setattr(near_duplicates, "_PENDING", 100)
    monkeypatch.setattr(near_duplicates, "_CHUNK", 64)
    pieces = search(signatures, parts)
    assert (whole.near == pieces.near).all()
    assert (whole.earlier == pieces.earlier).all()
    assert whole.near.any()
