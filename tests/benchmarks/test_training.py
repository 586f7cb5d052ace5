"""The training benchmarks train the same network in every framework, and measure memory."""

from importlib.util import find_spec

import pytest

from benchmarks.training import memory, throughput

SMALL = ("--set=network.units=4", "--set=network.embedding_size=8")


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_every_framework_trains_the_same_network(run, corpus, cell):
    few = ["--corpus", corpus, "--rounds", 1, "--epochs", 2, "--rows", 60, "--cell", cell, *SMALL]
    kinds = {"lstm": ("Keras", "PyTorch"), "gru": ("Keras, by length", "PyTorch, by length")}[cell]
    document = run(throughput.main, *few, *(f"--only={kind}" for kind in kinds))
    assert document["texts"] == 60
    rows = {row["what"]: row for row in document["training"]}
    expected = {"Gatewise", kinds[0], *(kinds[1:] if find_spec("torch") else ())}
    assert set(rows) == expected
    parameters = rows["Gatewise"]["parameters"]
    assert rows[kinds[0]]["parameters"] == parameters
    for row in rows.values():
        assert row["texts/s"] > 0
        assert 0 <= row["accuracy"] <= 1
        assert row["ratio"] == pytest.approx(row["texts/s"] / rows["Gatewise"]["texts/s"])


def test_the_memory_of_training_is_measured(run):
    few = ["--rows", 300, "--set", "training.epochs=1", "--set", "network.units=4"]
    document = run(memory.main, *few)
    assert document["corpus"] == "generated.csv"
    assert document["peak, MiB"] > 100
