"""What is read of an ONNX file is what onnx reads of it; what more there is refuses the file."""

import random

import numpy as np
import onnx
import pytest
from gatewise.service.model.errors import NetworkError
from gatewise.service.model.model_config import ModelFolder
from gatewise.service.model.onnx_validation import onnx_parser
from gatewise.service.model.onnx_validation.parsed_network import ParsedNetwork
from onnx import helper, numpy_helper


@pytest.fixture(scope="module")
def contents(model_folder) -> bytes:
    return ModelFolder(model_folder).model.read_bytes()


def agrees(network: ParsedNetwork, model: onnx.ModelProto) -> bool:
    """Whether both readers found the same."""
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
            {each.name: plain(helper.get_attribute_value(each)) for each in node.attribute},
        )
        for node in model.graph.node
    ]
    arrays = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    return (
        nodes == expected
        and set(network.constants) == set(arrays)
        and all(
            (value.type, value.shape) == (arrays[name].dtype, arrays[name].shape)
            and value.integers in (None, tuple(arrays[name].ravel().tolist()))
            for name, value in network.constants.items()
        )
    )


def plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode()
    return tuple(value) if isinstance(value, list) else value


def test_a_network_is_read_as_onnx_reads_it(contents):
    network, model = onnx_parser.read(contents), onnx.load_from_string(contents)
    assert agrees(network, model)
    assert network.operators == {node.op_type for node in model.graph.node}
    assert network.constants["int_0_-1"].integers == (0, -1)
    assert network.constants["embedding.weight"].integers is None


def test_every_file_that_is_read_is_the_same_for_onnx(contents):
    """Whoever reads the file afterwards shall not find what was not looked at."""
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
            network = onnx_parser.read(bytes(changed))
        except NetworkError:
            continue
        read += 1
        assert agrees(network, onnx.load_from_string(bytes(changed))), seed
    assert read > 20


@pytest.mark.parametrize("kind", [np.float16, np.int8, np.uint8, np.int32, np.bool_])
def test_constants_of_smaller_numbers_are_read(contents, kind):
    model = onnx.load_from_string(contents)
    model.graph.initializer.append(numpy_helper.from_array(np.ones((3, 2), kind), "small"))
    value = onnx_parser.read(model.SerializeToString()).constants["small"]
    assert (value.type, value.shape, value.bytes) == (kind, (3, 2), 6 * np.dtype(kind).itemsize)


@pytest.mark.parametrize("where", ["domain", "op_type", "name"])
def test_what_a_name_does_to_a_terminal_is_not_told(contents, where):
    model = onnx.load_from_string(contents)
    setattr(model.graph.node[3], where, "a\x1b[31mb\nc")
    with pytest.raises(NetworkError) as caught:
        onnx_parser.read(model.SerializeToString())
    assert str(caught.value).isprintable()
    assert "a?[31mb?c" in str(caught.value)
