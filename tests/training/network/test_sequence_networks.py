"""Networks of sequences of numbers, by hand: those of the founding lecture, with their counts."""

import numpy as np
import pytest

from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.data.feature_scale import FeatureScale
from gatewise.training.network.build import build, exported_parameters
from gatewise.training.network.parameters import parameters
from gatewise.training.network.shape import Shape
from gatewise.training.onnx_export.keras_to_onnx import to_onnx
from gatewise.vocab.tokenizer.encoding import pad

PLAIN = {"cell": "rnn", "direction": "forward", "readout": "last", "dropout": 0.0}


def built(units, features, **options):
    config = NetworkConfig(**{**PLAIN, "units": units, **options})
    shape = Shape(vocab_size=0, classes=1, ngrams=(), features=features)
    scale = FeatureScale.none(features)
    return config, shape, build(config, shape, seed=1, scale=scale)


@pytest.mark.parametrize(
    ("units", "features", "recurrent", "total"),
    [(1, 1, 3, 5), (2, 1, 8, 11), (2, 2, 10, 13), (3, 2, 18, 22)],
)
def test_the_lectures_networks_have_the_lectures_parameters(units, features, recurrent, total):
    config, shape, model = built(units, features)
    assert model.get_layer("recurrent_0").count_params() == recurrent
    assert exported_parameters(model) == total
    counted = {layer.layer: layer.count for layer in parameters(config, shape)}
    assert counted == {"recurrent_0": recurrent, "classifier": total - recurrent}


def test_the_parameters_do_not_depend_on_the_steps(onnx_session):
    config, _, model = built(3, 2)
    session = onnx_session(to_onnx(model, config))
    for steps in (1, 200):
        batch = pad([np.ones((steps, 2), np.float32)] * 2)
        assert session.run(["logits"], batch.by_name)[0].shape == (2, 1)


def test_one_neuron_is_the_recurrence_of_the_lecture(onnx_session):
    config, _, model = built(1, 1)
    w1, w2, w0, kernel, bias = 0.7, -0.4, 0.1, 2.0, -0.5
    values = [[[w1]], [[w2]], [w0], [[kernel]], [bias]]
    model.set_weights([np.float32(value) for value in values])
    series, state = [0.3, -1.2, 2.0], 0.0
    for number in series:
        state = np.tanh(w0 + w1 * number + w2 * state)
    batch = pad([np.float32(series)[:, None]] * 2)
    (found,) = onnx_session(to_onnx(model, config)).run(["logits"], batch.by_name)
    assert found[0, 0] == pytest.approx(kernel * state + bias, abs=1e-6)
