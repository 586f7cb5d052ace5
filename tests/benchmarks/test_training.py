"""The training benchmarks train the same network in every framework, and measure memory."""

from importlib.util import find_spec

import pytest

from benchmarks.training import long_texts, memory, throughput

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


def test_long_texts_are_measured_beside_their_beginnings(run):
    few = ["--texts", 24, "--characters", 20_000, "--script", "korean"]
    small = ["--set", "training.epochs=1", "--set", "network.units=4"]
    rows = run(long_texts.main, *few, *small)["usage"]
    commands = ["check", "train", "score", "/predict"]
    assert [row["command"] for row in rows] == commands * 2
    assert [row["texts"] for row in rows] == ["whole"] * 4 + ["cut by hand"] * 4
    assert all(row["processor, s"] > 0 and row["peak, MiB"] > 50 for row in rows)
