"""The training benchmarks train the same network in every framework, and measure memory."""

from importlib.util import find_spec

import pytest

from benchmarks.lib.command import BenchmarkError
from benchmarks.training import memory, throughput
from benchmarks.training.frameworks.shared import Recipe, TrainingRun

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


def test_the_first_epoch_is_not_counted():
    runs = [
        TrainingRun([9.0, 2.0, 1.0, 3.0], [9.0, 4.0, 4.0, 4.0], 0.5, 7),
        TrainingRun([9.0, 4.0, 4.0, 4.0], [9.0, 4.0, 4.0, 4.0], 0.7, 7),
    ]
    row = throughput.summary("PyTorch", runs, 100, [75.0])
    assert (row["lowest"], row["highest"], row["ratio"]) == (25.0, 50.0, 0.5)
    assert (row["processor, ms a text"], row["first epoch, s"]) == (40.0, 9.0)
    assert row["accuracy"] == pytest.approx(0.6)


def test_a_framework_that_fails_says_why(tmp_path):
    recipe = Recipe("lstm", 10, 2, 8, 4, 0.1, 16, 2, 3e-3, 1e-4, 1)
    with pytest.raises(BenchmarkError, match=r"^Gatewise: .*train\.npz"):
        throughput.run("Gatewise", tmp_path, recipe)


def test_the_memory_of_training_is_measured(run):
    few = ["--rows", 300, "--set", "training.epochs=1", "--set", "network.units=4"]
    document = run(memory.main, *few)
    assert document["corpus"] == "generated.csv"
    assert document["peak, MiB"] > 100
