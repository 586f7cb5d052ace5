"""What a network asks for is known before it is run, and known rightly."""

import itertools

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from service.errors import NetworkError
from service.layout import PRECISIONS
from service.screening import demands, onnx_file
from service.screening.operators import OPERATORS
from training.lowering.lower import lower
from training.lowering.precision import stored_in
from training.mobile.parts import NGRAMS, Network
from training.mobile.shrinking import Plan, shrunk
from training.network.build import build
from training.network.shape import Shape
from training.settings.network import NetworkConfig

CLASSES, VOCABULARY = 5, 40


def lowered(config: NetworkConfig, ngrams: tuple[int, ...] = (1, 2, 3), **sizes) -> bytes:
    sizes = {"vocab_size": VOCABULARY, "classes": CLASSES, "buckets": 30, **sizes}
    model = build(config, Shape(ngrams=ngrams, **sizes), seed=1)
    return lower(model, config).SerializeToString()


@pytest.fixture(scope="module")
def networks() -> dict[str, bytes]:
    """A network of every cell, direction, read-out and input."""
    found = {}
    ways = itertools.product(
        ["gru", "lstm", "rnn"], ["forward", "backward", "bidirectional"], ["embedding", "one_hot"]
    )
    readouts = itertools.cycle(["last", "max", "mean", "max_mean", "attention"])
    for number, ((cell, direction, given), readout) in enumerate(zip(ways, readouts, strict=False)):
        config = NetworkConfig(
            cell=cell,
            direction=direction,
            readout=readout,
            input=given,
            layers=1 + number % 2,
            units=3,
            embedding_size=4,
            reset_after=cell != "gru" or number % 2 == 0,
        )
        ngrams = [(), (1,), (2,), (1, 2, 3)][number % 4]
        width = 2 if number % 3 == 0 else None
        found[f"{cell} {direction} {readout} {given}"] = lowered(config, ngrams, ngram_width=width)
    config = NetworkConfig(units=16, embedding_size=16)
    whole = onnx.load_from_string(lowered(config, buckets=300))
    generator = np.random.default_rng(0)
    table = Network(whole)[NGRAMS]
    # Few large numbers among many small ones, as in a table that has learnt.
    Network(whole)[NGRAMS] = (generator.normal(size=table.shape) ** 5).astype(np.float32)
    kept = np.arange(0, 90, 2)
    plan = Plan(np.arange(0, VOCABULARY, 3), kept, absent=1.0, width=8, ngram_width=3)
    for name, model in (("whole", whole), ("small", shrunk(whole, plan))):
        for precision in PRECISIONS:
            stored = stored_in(precision, model)
            found[f"{name} {precision}"] = stored.SerializeToString()
    return found


def test_every_network_that_can_be_trained_is_admitted(networks):
    for name, contents in networks.items():
        try:
            demands.check(onnx_file.read(contents), CLASSES, 512)
        except NetworkError as error:
            pytest.fail(f"{name}: {error}")


def test_no_operator_is_admitted_that_is_never_written(networks):
    written = set().union(*(onnx_file.read(each).operators for each in networks.values()))
    assert written == set(OPERATORS)


@pytest.mark.parametrize(("texts", "tokens"), [(2, 2), (3, 7), (5, 1)])
def test_every_value_has_the_shape_that_was_foretold(networks, texts, tokens):
    generator = np.random.default_rng(0)
    ids = generator.integers(1, VOCABULARY // 3, (texts, tokens))
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    for name, contents in networks.items():
        foretold = {
            output: value
            for node, _, values in demands.traced(onnx_file.read(contents), texts, tokens)
            for output, value in zip(node.outputs, values, strict=True)
        }
        for output, array in everything(contents, list(foretold), inputs).items():
            told = foretold[output]
            assert (told.shape, told.type) == (array.shape, array.dtype), f"{name}: {output}"
            if told.integers is not None:
                assert told.integers == tuple(array.ravel().tolist()), f"{name}: {output}"


def everything(contents: bytes, names: list[str], inputs) -> dict[str, np.ndarray]:
    """Every value of a network when it is run."""
    model = onnx.load_from_string(contents)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name != "logits")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    return dict(zip(names, session.run(names, inputs), strict=True))


@pytest.mark.parametrize(
    ("config", "sizes", "max_length"),
    [
        ({"units": 1024, "embedding_size": 300, "layers": 3}, {"vocab_size": 20_000}, 512),
        ({"units": 256}, {"vocab_size": 20_000}, 100_000),
        ({"units": 1, "embedding_size": 1, "layers": 8}, {"vocab_size": 10}, 2),
        ({"units": 512, "input": "one_hot", "cell": "rnn"}, {"vocab_size": 20_000}, 4096),
        ({"units": 64}, {"classes": 20_000, "ngram_width": 64, "buckets": 10_000}, 512),
        ({"units": 64}, {"buckets": 1_000_000}, 512),
    ],
    ids=["large", "long texts", "deep", "one-hot", "many classes", "many buckets"],
)
def test_networks_far_larger_than_usual_are_admitted(config, sizes, max_length):
    config = NetworkConfig(**config)
    contents = lowered(config, **sizes)
    demands.check(onnx_file.read(contents), sizes.get("classes", CLASSES), max_length)


def test_the_longest_text_counts():
    network = onnx_file.read(lowered(NetworkConfig(units=3, embedding_size=4)))
    with pytest.raises(NetworkError, match=r"to read 1 x 10{9} tokens it takes"):
        demands.check(network, CLASSES, 10**9)


def test_what_a_network_asks_for_grows_with_the_batch():
    network = onnx_file.read(lowered(NetworkConfig(units=64)))
    one, two = demands.of(network, 1, 1000), demands.of(network, 2, 1000)
    assert 1.9 < two.bytes / one.bytes < 2.1
    assert 1.9 < two.steps / one.steps < 2.1
    # The states of both directions, some times over.
    states = 1000 * 2 * 64 * 4
    assert 5 * states < one.bytes < 50 * states


def test_logits_of_another_number_of_classes_are_refused():
    network = onnx_file.read(lowered(NetworkConfig(units=3)))
    with pytest.raises(NetworkError, match=r"expected logits of shape \(2, 6\)"):
        demands.check(network, CLASSES + 1, 512)


def test_a_network_is_checked_by_onnx_itself(networks):
    for contents in networks.values():
        onnx.checker.check_model(onnx.load_from_string(contents), full_check=True)
