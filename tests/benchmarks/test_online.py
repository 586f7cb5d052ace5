"""The benchmark of texts that come in pieces times what it says, on a real model."""

import pytest


@pytest.fixture(scope="module")
def online(benchmark_module):
    return benchmark_module("online")


def test_every_length_is_measured(online, forward_model_folder):
    words = ["Wo", "ist", "der", "Bahnhof?"] * 30
    rows = online.measure(forward_model_folder, words, [10, 30], rounds=1)
    assert [row.tokens for row in rows] == [10, 30]
    for row in rows:
        assert row.step_us > 0
        assert row.feed_us > 0
        assert row.again_us > 0
