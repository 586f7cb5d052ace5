"""The formulas agree with Keras's counts."""

from typing import get_args

import pytest

from gatewise.training.config.config import ConfigError
from gatewise.training.config.network_section import Direction, NetworkConfig, Readout
from gatewise.training.config.tokens_section import TokensConfig
from gatewise.training.network.build import build, exported_parameters
from gatewise.training.network.parameters import check_size, parameters
from gatewise.training.network.shape import NgramTable, Shape

CELLS = [("gru", True), ("gru", False), ("lstm", True), ("rnn", True)]
DIRECTIONS = get_args(Direction)
READOUTS = get_args(Readout)


def test_the_formula_of_every_layer_gives_what_keras_counts():
    for number in range(6):
        cell, reset_after = CELLS[number % 4]
        config = NetworkConfig(
            cell=cell,
            reset_after=reset_after,
            direction=DIRECTIONS[number % 3],
            readout=READOUTS[number % 5],
            input=["embedding", "one_hot"][number % 2],
            layers=1 + number // 2 % 3,
            units=5,
            embedding_size=6,
        )
        ngrams = [(), (1,), (1, 2), (2,), (1, 2, 3)][number % 5]
        shape = Shape(1200, 3, ngrams, 11, ngram_width=[None, 3, 2, 4][number % 4])
        model = build(config, shape, seed=1)
        layers = parameters(config, shape)
        for layer in layers:
            merged = shape.classes if layer.layer == "ngrams" else 0  # its bias
            assert model.get_layer(layer.layer).count_params() - merged == layer.count
            assert eval(layer.formula.replace("×", "*").replace(",", "")) == layer.count
        assert sum(layer.count for layer in layers) == exported_parameters(model)
        holding = [layer.name for layer in model.layers if layer.count_params()]
        assert sorted(holding) == sorted(layer.layer for layer in layers)


def test_formulas_are_those_of_the_document():
    table = NgramTable(lengths=(1, 2, 4), vocab_size=50, buckets=10, width=3)
    assert (table.rows, table.offset(2), table.offset(4)) == (70, 50, 60)
    config = NetworkConfig(cell="lstm", layers=2)
    table = {layer.layer: layer for layer in parameters(config, Shape(20_000, 6, (1, 2, 3)))}
    assert {name: layer.formula for name, layer in table.items()} == {
        "embedding": "20,000 × 64",
        "recurrent_0": "2 × 4 × 64 × (64 + 64 + 1)",
        "recurrent_1": "2 × 4 × 64 × (64 + 128 + 1)",
        "classifier": "(256 + 1) × 6",
        "ngrams": "(20,000 + 2 × 50,000) × (6 + 1)",
    }
    many = Shape(20_000, 150, (1, 2), buckets=30_000, ngram_width=64)
    *_, ngrams = parameters(config, many)
    assert ngrams.formula == "(20,000 + 30,000) × (64 + 1) + 64 × 150"
    one_hot = NetworkConfig(cell="rnn", input="one_hot", direction="forward", readout="attention")
    first, readout, *_ = parameters(one_hot, Shape(20_000, 6, ()))
    assert first.formula == "64 × (64 + 20,000 + 1)"
    assert first.count == 64 * (64 + 20_000 + 1)
    assert readout.formula == "(64 + 1) × 64 + 64"


def test_frozen_vectors_are_not_trained(tmp_path):
    config = NetworkConfig(vectors=tmp_path / "words.vec", train_vectors=False)
    trainable = {layer.layer: layer.trainable for layer in parameters(config, Shape(10, 2, ()))}
    assert trainable == {"embedding": False, "recurrent_0": True, "classifier": True}


@pytest.mark.parametrize(
    ("settings", "shape", "largest", "advice"),
    [
        ({}, Shape(20_000, 150, (1, 2), 10_000_000), "ngrams", "network.buckets"),
        ({"embedding_size": 4096}, Shape(1_000_000, 2, ()), "embedding", "tokens.vocab_size"),
        ({"units": 4096, "layers": 8}, Shape(1_000, 2, ()), "recurrent_1", "network.units"),
        ({"units": 512, "input": "one_hot"}, Shape(1_000_000, 2, ()), "recurrent_0", "tokens."),
    ],
)
def test_a_network_that_is_too_large_for_a_folder_is_refused(settings, shape, largest, advice):
    with pytest.raises(ConfigError, match=f"limit of 2 GB: the layer .{largest}.*lower {advice}"):
        check_size(NetworkConfig(**settings), TokensConfig(), shape)


def test_a_network_at_the_limit_is_not_refused():
    check_size(NetworkConfig(), TokensConfig(), Shape(20_000, 27, (1, 2), buckets=10_000_000))
    with pytest.raises(ConfigError, match=r"would take 2\.0 GB .* lower network\.buckets"):
        check_size(NetworkConfig(), TokensConfig(), Shape(20_000, 28, (1, 2), buckets=10_000_000))
    # The step model of a network that reads forward counts too.
    shape = Shape(20_000, 20, (1, 2), buckets=10_000_000)
    forward = NetworkConfig(direction="forward")
    check_size(NetworkConfig(), TokensConfig(), shape)
    check_size(forward, TokensConfig(unit="ngram"), shape)
    with pytest.raises(ConfigError, match=r"would take 2\.3 GB in all files"):
        check_size(forward, TokensConfig(), shape)
