"""The parser reads an ONNX file as the library onnx does, or refuses it."""

import random

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from gatewise.service.model.errors import NetworkError
from gatewise.service.model.model_folder import ModelFolder
from gatewise.service.model.onnx_validation.onnx_parser import parse_network


@pytest.fixture(scope="module")
def contents(model_folder):
    return ModelFolder(model_folder).model.read_bytes()


def agrees(network, model):
    """Whether both parsers found the same."""
    nodes = [
        (node.operator, node.name, node.inputs, node.outputs, dict(node.attributes))
        for node in network.nodes
    ]
    expected = [
        (
            node.op_type,
            node.name,
            tuple(node.input),
            tuple(node.output),
            {each.name: to_python(helper.get_attribute_value(each)) for each in node.attribute},
        )
        for node in model.graph.node
    ]
    arrays = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    return (
        nodes == expected
        and set(network.constants) == set(arrays)
        and all(
            (constant.dtype, constant.shape) == (arrays[name].dtype, arrays[name].shape)
            and constant.integers in (None, tuple(arrays[name].ravel().tolist()))
            for name, constant in network.constants.items()
        )
    )


def to_python(value):
    if isinstance(value, bytes):
        return value.decode()
    return tuple(value) if isinstance(value, list) else value


def test_network_is_parsed_as_onnx_parses_it(contents):
    network, model = parse_network(contents), onnx.load_from_string(contents)
    assert agrees(network, model)
    assert network.operators == {node.op_type for node in model.graph.node}
    assert network.constants["int_0_-1"].integers == (0, -1)
    assert network.constants["embedding.weight"].integers is None


def test_every_corrupted_file_that_is_accepted_is_the_same_for_onnx(contents):
    """onnxruntime must not find anything in the file that was not checked."""
    read = 0
    for seed in range(2000):
        choose = random.Random(seed)
        changed = bytearray(contents)
        for _ in range(choose.choice([1, 1, 2])):
            at = choose.randrange(4000)
            if choose.random() < 0.7:
                changed[at] = choose.randrange(256)
            else:
                changed[at:at] = choose.randbytes(1)
        try:
            network = parse_network(bytes(changed))
        except NetworkError:
            continue
        read += 1
        assert agrees(network, onnx.load_from_string(bytes(changed))), seed
    assert read > 20


@pytest.mark.parametrize("dtype", [np.float16, np.int8])
def test_constants_of_smaller_data_types_are_read(contents, dtype):
    model = onnx.load_from_string(contents)
    model.graph.initializer.append(numpy_helper.from_array(np.ones((3, 2), dtype), "small"))
    constant = parse_network(model.SerializeToString()).constants["small"]
    assert (constant.dtype, constant.shape) == (dtype, (3, 2))


@pytest.mark.parametrize("field", ["domain", "op_type"])
def test_control_characters_in_a_name_are_replaced_in_the_message(contents, field):
    model = onnx.load_from_string(contents)
    setattr(model.graph.node[3], field, "a\x1b[31mb\nc")
    with pytest.raises(NetworkError) as caught:
        parse_network(model.SerializeToString())
    assert str(caught.value).isprintable()
    assert "a?[31mb?c" in str(caught.value)
