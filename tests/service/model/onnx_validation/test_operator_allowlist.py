"""The allow-list accepts every network that can be trained, and nothing more."""

import itertools

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from gatewise.service.model.errors import NetworkError
from gatewise.service.model.model_documents import PRECISIONS
from gatewise.service.model.onnx_validation.onnx_parser import (
    Constant,
    Node,
    ParsedNetwork,
    Signature,
    parse_network,
    parse_step_network,
)
from gatewise.service.model.onnx_validation.operator_allowlist import OPERATORS, check_operators
from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.mobile.onnx_parts import NGRAMS, OnnxParts
from gatewise.training.mobile.pruning import PruningPlan, prune
from gatewise.training.network.build import build
from gatewise.training.network.shape import Shape
from gatewise.training.network.streaming import MAX_NGRAM_ROWS
from gatewise.training.onnx_export.keras_to_onnx import to_onnx
from gatewise.training.onnx_export.precision import convert_precision
from gatewise.training.onnx_export.step_model import build_step_model

CLASSES, VOCABULARY = 5, 40


def lowered(config, ngrams=(1, 2, 3), **sizes):
    sizes = {"vocab_size": VOCABULARY, "classes": CLASSES, "buckets": 30, **sizes}
    model = build(config, Shape(ngrams=ngrams, **sizes), seed=1)
    return to_onnx(model, config).SerializeToString()


@pytest.fixture(scope="module")
def networks():
    """Networks that cover every cell, direction, pooling, input and precision."""
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
    # A few large weights among many small ones, as in a trained table.
    OnnxParts(whole)[NGRAMS] = (generator.normal(size=table.shape) ** 5).astype(np.float32)
    kept = np.arange(0, 90, 2)
    plan = PruningPlan(np.arange(0, VOCABULARY, 3), kept, absent_idf=1.0, width=8, ngram_width=3)
    for name, model in (("whole", whole), ("small", prune(whole, plan))):
        for precision in PRECISIONS:
            stored = convert_precision(model, precision)
            found[f"{name} {precision}"] = stored.SerializeToString()
    return found


@pytest.fixture(scope="module")
def step_networks():
    """Step networks that cover every cell and pooling."""
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
        longest = MAX_NGRAM_ROWS // 8 if ngrams else 100_000
        one_token = build_step_model(whole, config, shape.table() if ngrams else None, longest)
        found[f"{cell} {readout} {given} {layers}"] = one_token.SerializeToString()
    return found


def test_every_allowed_operator_is_written_by_some_network(networks):
    written = set().union(*(parse_network(each).operators for each in networks.values()))
    assert written == set(OPERATORS)


def test_every_trainable_network_is_accepted_and_its_data_types_are_known(networks):
    ids = np.arange(1, 7).reshape(2, 3)
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    for name, contents in networks.items():
        network = parse_network(contents)
        assert network.signature.num_classes == CLASSES, name
        assert_dtypes(name, contents, check_operators(network), inputs)


def test_every_step_network_is_accepted_and_its_data_types_are_known(step_networks):
    for name, contents in step_networks.items():
        network = parse_step_network(contents)
        assert network.signature.num_classes == CLASSES, name
        inputs = {"input_ids": np.array([3])}
        for each in onnx.load_from_string(contents).graph.input[1:]:
            sizes = each.type.tensor_type.shape.dim
            shape = [size.dim_value or 1 for size in sizes]
            inputs[each.name] = np.zeros(shape, network.signature.inputs[each.name])
        assert_dtypes(name, contents, check_operators(network), inputs)


def assert_dtypes(name, contents, types, inputs):
    given = {name for node in onnx.load_from_string(contents).graph.node for name in node.output}
    for output, array in all_values(contents, sorted(given), inputs).items():
        assert types[output] == array.dtype, f"{name}: {output}"


def test_a_step_network_is_not_accepted_as_a_whole_one_nor_the_reverse(networks, step_networks):
    (whole, *_), (one_token, *_) = networks.values(), step_networks.values()
    with pytest.raises(NetworkError, match="expected inputs input_ids and state"):
        parse_step_network(whole)
    with pytest.raises(NetworkError, match="expected inputs attention_mask and input_ids"):
        parse_network(one_token)


def all_values(contents, names, inputs):
    """The values that a network computes, by name."""
    model = onnx.load_from_string(contents)
    known = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    return dict(zip(names, session.run(names, inputs), strict=True))


def test_networks_pass_the_checker_of_onnx(networks):
    for contents in networks.values():
        onnx.checker.check_model(onnx.load_from_string(contents), full_check=True)


INTEGER, FLOAT = np.dtype(np.int64), np.dtype(np.float32)
CONSTANTS = {
    "two": Constant(INTEGER, (1,), (2,)),
    "zero": Constant(INTEGER, (2,), (2, 0)),
    "floats": Constant(FLOAT, (3,)),
}


def node(operator, *inputs, to="logits", **attributes):
    return Node(operator, "n", inputs, (to,), attributes)


def check(*nodes):
    signature = Signature({"ids": INTEGER}, {"logits": FLOAT})
    check_operators(ParsedNetwork(nodes, CONSTANTS, signature))


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([node("Tile", "ids", "two")], "operator Tile is not one that Gatewise writes"),
        ([node("Add", "floats")], "Add n: 1 inputs and 1 outputs are not allowed"),
        ([node("Exp", "floats", axis=1)], "Exp n: the attribute axis is not allowed"),
        (
            [node("Exp", "later"), node("Exp", "floats", to="later")],
            "no earlier node computes its input later",
        ),
        ([node("Exp", "floats"), node("Exp", "floats")], "two values are called logits"),
        ([node("Exp", "floats", to="other")], "no node computes the output logits"),
        ([node("Abs", "ids")], "logits: expected type float32, found int64"),
        ([node("Cast", "ids", to="logits")], "the data type None is not supported"),
        ([node("Mod", "ids", "zero")], "expected a positive constant as the divisor"),
        ([node("Div", "ids", "zero")], "expected a positive constant as the divisor"),
        ([node("Mod", "floats", "floats")], "expected a positive constant as the divisor"),
    ],
)
def test_invalid_node_is_refused(nodes, reason):
    with pytest.raises(NetworkError, match=reason):
        check(*nodes)


def test_valid_divisors_are_accepted():
    check(
        node("Div", "ids", "two", to="half"),
        node("Mod", "half", "two", to="rest"),
        node("Div", "floats", "floats"),
    )
