"""What a network asks for is known before it is run, and known rightly."""

import itertools
import re
from unittest import mock

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from gatewise.service.model.errors import NetworkError
from gatewise.service.model.model_config import PRECISIONS
from gatewise.service.model.onnx_validation import demands, onnx_parser
from gatewise.service.model.onnx_validation.operator_allowlist import OPERATORS
from gatewise.service.model.onnx_validation.parsed_network import Value
from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.mobile.onnx_parts import NGRAMS, OnnxParts
from gatewise.training.mobile.pruning import PruningPlan, prune
from gatewise.training.network.build import build
from gatewise.training.network.shape import Shape
from gatewise.training.onnx_export.keras_to_onnx import to_onnx
from gatewise.training.onnx_export.precision import stored_in
from gatewise.training.onnx_export.step_model import MOST_ROWS, step

CLASSES, VOCABULARY = 5, 40


def lowered(config: NetworkConfig, ngrams: tuple[int, ...] = (1, 2, 3), **sizes) -> bytes:
    sizes = {"vocab_size": VOCABULARY, "classes": CLASSES, "buckets": 30, **sizes}
    model = build(config, Shape(ngrams=ngrams, **sizes), seed=1)
    return to_onnx(model, config).SerializeToString()


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
    table = OnnxParts(whole)[NGRAMS]
    # Few large numbers among many small ones, as in a table that has learnt.
    OnnxParts(whole)[NGRAMS] = (generator.normal(size=table.shape) ** 5).astype(np.float32)
    kept = np.arange(0, 90, 2)
    plan = PruningPlan(np.arange(0, VOCABULARY, 3), kept, absent=1.0, width=8, ngram_width=3)
    for name, model in (("whole", whole), ("small", prune(whole, plan))):
        for precision in PRECISIONS:
            stored = stored_in(precision, model)
            found[f"{name} {precision}"] = stored.SerializeToString()
    return found


@pytest.fixture(scope="module")
def stepwise() -> dict[str, bytes]:
    """A network of every cell and read-out that reads one token at a time."""
    found = {}
    readouts = itertools.cycle(["last", "max", "mean", "max_mean", "attention"])
    ways = itertools.product(["gru", "lstm", "rnn"], ["embedding", "one_hot"], [1, 2])
    for number, ((cell, given, layers), readout) in enumerate(zip(ways, readouts, strict=False)):
        config = NetworkConfig(
            cell=cell,
            direction="forward",
            readout=readout,
            input=given,
            layers=layers,
            units=3,
            embedding_size=4,
        )
        ngrams = [(), (1,), (2,), (1, 2, 3, 4, 5, 6, 7, 8)][number % 4]
        width = 2 if number % 3 == 0 else None
        shape = Shape(VOCABULARY, CLASSES, ngrams, 30, width)
        whole = to_onnx(build(config, shape, seed=1), config)
        longest = MOST_ROWS // 8 if ngrams else 100_000
        one_token = step(whole, config, shape.table() if ngrams else None, longest)
        found[f"{cell} {readout} {given} {layers}"] = one_token.SerializeToString()
    return found


def test_every_network_that_can_be_trained_is_admitted(networks):
    for name, contents in networks.items():
        try:
            demands.check(onnx_parser.read(contents), CLASSES, 512)
        except NetworkError as error:
            pytest.fail(f"{name}: {error}")


def test_no_operator_is_admitted_that_is_never_written(networks):
    written = set().union(*(onnx_parser.read(each).operators for each in networks.values()))
    assert written == set(OPERATORS)


@pytest.mark.parametrize(("texts", "tokens"), [(2, 2), (3, 7), (5, 1)])
def test_every_value_has_the_shape_that_was_foretold(networks, texts, tokens):
    generator = np.random.default_rng(0)
    ids = generator.integers(1, VOCABULARY // 3, (texts, tokens))
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    for name, contents in networks.items():
        has_foretold_shapes(name, contents, onnx_parser.read(contents), inputs)


def test_every_network_that_reads_one_token_is_admitted_and_foretold(stepwise):
    for name, contents in stepwise.items():
        network = onnx_parser.read_step(contents)
        demands.check_step(network, CLASSES)
        states = {name: np.zeros(each.shape, each.type) for name, each in network.states.items()}
        has_foretold_shapes(name, contents, network, {"input_ids": np.array([3]), **states})


def test_a_state_that_is_another_after_a_token_is_refused(stepwise):
    for contents in stepwise.values():
        network = onnx_parser.read_step(contents)
        for name, value in network.states.items():
            for other in (Value(value.type, (*value.shape, 1)), Value(np.dtype(bool), value.shape)):
                outputs = {f"next.{name.removeprefix('state.')}": other}
                with pytest.raises(NetworkError, match=f"no such {re.escape(name)} as before"):
                    check_with(network, outputs)


def check_with(network, outputs):
    """Checks a network as if some of its nodes gave other results."""
    real = demands.results

    def results(node, inputs):
        found = real(node, inputs)
        return tuple(outputs.get(name, one) for name, one in zip(node.outputs, found, strict=True))

    with mock.patch.object(demands, "results", results):
        demands.check_step(network, CLASSES)


def test_one_kind_of_network_is_not_taken_for_the_other(networks, stepwise):
    (whole, *_), (one_token, *_) = networks.values(), stepwise.values()
    with pytest.raises(NetworkError, match="expected inputs input_ids and state"):
        onnx_parser.read_step(whole)
    with pytest.raises(NetworkError, match="expected inputs attention_mask and input_ids"):
        onnx_parser.read(one_token)


def has_foretold_shapes(name, contents, network, inputs):
    given = {name: Value(array.dtype, array.shape) for name, array in inputs.items()}
    foretold = {
        output: value
        for node, _, values in demands.traced(network, given)
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
    known = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
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
    demands.check(onnx_parser.read(contents), sizes.get("classes", CLASSES), max_length)


def test_the_longest_text_counts():
    network = onnx_parser.read(lowered(NetworkConfig(units=3, embedding_size=4)))
    with pytest.raises(NetworkError, match=r"to read 1 x 10{9} tokens it takes"):
        demands.check(network, CLASSES, 10**9)


def test_what_a_network_asks_for_grows_with_the_batch():
    network = onnx_parser.read(lowered(NetworkConfig(units=64)))
    one, two = demands.of(network, 1, 1000), demands.of(network, 2, 1000)
    assert 1.9 < two.bytes / one.bytes < 2.1
    assert 1.9 < two.steps / one.steps < 2.1
    # The states of both directions, some times over.
    states = 1000 * 2 * 64 * 4
    assert 5 * states < one.bytes < 50 * states


def test_logits_of_another_number_of_classes_are_refused():
    network = onnx_parser.read(lowered(NetworkConfig(units=3)))
    with pytest.raises(NetworkError, match=r"expected logits of shape \(2, 6\)"):
        demands.check(network, CLASSES + 1, 512)


def test_a_network_is_checked_by_onnx_itself(networks):
    for contents in networks.values():
        onnx.checker.check_model(onnx.load_from_string(contents), full_check=True)
