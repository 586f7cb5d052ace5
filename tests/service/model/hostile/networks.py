"""Hostile networks: they read other files, never end, or crash the process.

Each case changes the network of a copy of a real model folder and reseals the manifest, so that
nothing but the network is wrong.
"""

import random

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gatewise.service.model.model_documents import Manifest
from gatewise.service.model.model_folder import ModelFolder, seal_model_folder
from gatewise.service.model.onnx_validation.operator_allowlist import OPERATORS

ENDLESS = 2**62
INTEGERS = [0, 1, -1, 2, 3, -2, 7, 64, 1000, 2**31, 10**12, ENDLESS, 2**63 - 1, -(2**63)]


def rewritten(rewrite):
    """A case that changes the network."""

    def apply(path):
        folder = ModelFolder(path)
        model = onnx.load(folder.model)
        rewrite(model)
        contents = model.SerializeToString()
        write(path, contents, {node.op_type for node in model.graph.node})

    return apply


def write(path, contents, operators):
    """Writes a network, and a manifest with its operators."""
    folder = ModelFolder(path)
    manifest = Manifest.model_validate_json(folder.manifest.read_bytes())
    folder.model.write_bytes(contents)
    for smaller in (folder.model_fp16, folder.model_quantized):
        smaller.unlink(missing_ok=True)
    names = (name[:50] for name in operators if name.isprintable())
    changes = {"operators": tuple(sorted(names))}
    seal_model_folder(folder, manifest.model_copy(update=changes))


def constant(model, name, value):
    """Adds a constant."""
    model.graph.initializer.append(numpy_helper.from_array(np.array(value), name))
    return name


def before_logits(model, operator, *others, outputs=1, **attributes):
    """Inserts a node before the logits."""
    last = model.graph.node[-1]
    names = ["new", *(f"new_{number}" for number in range(1, outputs))]
    node = helper.make_node(operator, [last.input[0], *others], names, **attributes)
    last.input[0] = "new"
    model.graph.node.insert(len(model.graph.node) - 1, node)
    return model.graph.node[-2]


def add_unused(model, operator, *inputs, outputs=1, **attributes):
    """Adds a node whose outputs are not used."""
    names = [f"unused_{len(model.graph.node)}_{number}" for number in range(outputs)]
    model.graph.node.insert(0, helper.make_node(operator, inputs, names, **attributes))


def subgraph(*nodes, inputs=0):
    """A graph for the attribute of a node."""
    kinds = [(TensorProto.INT64, []), (TensorProto.BOOL, []), (TensorProto.FLOAT, None)]
    given = [
        helper.make_tensor_value_info(name, kind, shape)
        for name, (kind, shape) in zip(("i", "go", "x"), kinds, strict=True)
    ]
    results = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    if inputs:
        results.insert(0, helper.make_tensor_value_info("on", TensorProto.BOOL, []))
    return helper.make_graph(list(nodes), "inside", given[:inputs], results)


def endless_loop(model):
    inside = subgraph(
        helper.make_node("Identity", ["go"], ["on"]),
        helper.make_node("Identity", ["x"], ["y"]),
        inputs=3,
    )
    last = model.graph.node[-1]
    loop = helper.make_node(
        "Loop",
        [constant(model, "times", ENDLESS), constant(model, "yes", True), last.input[0]],
        ["new"],
        body=inside,
    )
    last.input[0] = "new"
    model.graph.node.insert(len(model.graph.node) - 1, loop)


def graphs_in_graphs(model):
    inside = subgraph(helper.make_node("Identity", ["logits_of_old"], ["y"]))
    for _ in range(40):
        branch = helper.make_node("If", ["yes"], ["y"], then_branch=inside, else_branch=inside)
        inside = subgraph(branch) if len(inside.SerializeToString()) < 100_000 else inside
    constant(model, "yes", True)
    before_logits(model, "Identity").CopyFrom(
        helper.make_node("If", ["yes"], ["new"], then_branch=inside, else_branch=inside)
    )


def functions_in_functions(model):
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    for depth in range(10_000):
        calls = [
            helper.make_node(f"F{depth + 1}", ["x"], ["a"], domain="own"),
            helper.make_node(f"F{depth + 1}", ["a"], ["y"], domain="own"),
        ]
        model.functions.append(
            helper.make_function("own", f"F{depth}", ["x"], ["y"], calls, opsets)
        )
    model.opset_import.append(helper.make_opsetid("own", 1))
    before_logits(model, "F0", domain="own")


def kept_elsewhere(location, offset=0):
    def rewrite(model):
        table = model.graph.initializer[0]
        length = len(table.raw_data)
        onnx.external_data_helper.set_external_data(table, location, offset, length)
        table.ClearField("raw_data")

    return rewrite


def with_doublings(model):
    name = "input_ids"
    for number in range(60):
        doubled = helper.make_node("Concat", [name, name], [f"doubled_{number}"], axis=0)
        model.graph.node.insert(number, doubled)
        name = f"doubled_{number}"


def with_squares(model):
    constant(model, "column", [-1, 1])
    constant(model, "row", [1, -1])
    name, nodes = "input_ids", []
    for number in range(200):
        parts = [f"column_{number}", f"row_{number}"]
        nodes += [
            helper.make_node("Reshape", [name, "column"], parts[:1]),
            helper.make_node("Reshape", [name, "row"], parts[1:]),
            helper.make_node("Mul", parts, [f"square_{number}"]),
        ]
        name = f"square_{number}"
    for number, node in enumerate(nodes):
        model.graph.node.insert(number, node)


def recurrent(model):
    return next(node for node in model.graph.node if node.op_type in ("LSTM", "GRU", "RNN"))


def with_lengths_times(factor):
    def rewrite(model):
        node = recurrent(model)
        inputs = [node.input[4], constant(model, "factor", np.int32(factor))]
        longer = helper.make_node("Mul", inputs, ["longer"])
        node.input[4] = "longer"
        model.graph.node.insert(list(model.graph.node).index(node), longer)

    return rewrite


def set_attribute(node, key, value):
    kept = [attribute for attribute in node.attribute if attribute.name != key]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(key, value)])


def first(model, operator):
    return next(node for node in model.graph.node if node.op_type == operator)


def tensor(model, name):
    return next(each for each in model.graph.initializer if each.name == name)


def with_numbers(name, value):
    def rewrite(model):
        found = tensor(model, name)
        array = np.full(tuple(found.dims), value, np.float32)
        found.CopyFrom(numpy_helper.from_array(array, name))

    return rewrite


def hostile_networks():
    """Networks that must be refused."""
    rewrites = {
        "weights at an absolute path": kept_elsewhere("/etc/passwd"),
        "weights in another file of the folder": kept_elsewhere("../tokenizer.json"),
        "weights at an address in memory": kept_elsewhere("*/_ORT_MEM_ADDR_/*", 4096),
        "a loop without an end": endless_loop,
        "graphs in graphs": graphs_in_graphs,
        "functions in functions": functions_in_functions,
        "sixty doublings": with_doublings,
        "squares of squares": with_squares,
        "an operator of somebody": lambda m: (
            m.opset_import.append(helper.make_opsetid("own", 1)),
            before_logits(m, "Own", domain="own"),
        ),
        "padding of a terabyte": lambda m: add_unused(
            m, "Pad", "input_ids", constant(m, "pads", [10**12, 0, 0, 0])
        ),
        "padding by a mirror": lambda m: add_unused(
            m, "Pad", "input_ids", constant(m, "pads", [1, 0, 0, 0]), mode="reflect"
        ),
        "the largest of too many": lambda m: add_unused(
            m, "TopK", "input_ids", constant(m, "k", [10**6]), outputs=2
        ),
        "a giant shape": lambda m: add_unused(
            m, "Reshape", "input_ids", constant(m, "shape", [2**40, -1])
        ),
        "a billion units": lambda m: set_attribute(recurrent(m), "hidden_size", 10**9),
        "no units": lambda m: set_attribute(recurrent(m), "hidden_size", 0),
        "a direction of its own": lambda m: set_attribute(recurrent(m), "direction", "sideways"),
        "lengths longer than texts": with_lengths_times(99),
        "lengths below nothing": with_lengths_times(-9),
        "a remainder of nothing": lambda m: first(m, "Mod").input.__setitem__(
            1, constant(m, "nothing", [0])
        ),
        "integers divided": lambda m: add_unused(m, "Div", "input_ids", "attention_mask"),
        "ids that no table has": lambda m: tensor(m, "embedding.weight").CopyFrom(
            numpy_helper.from_array(np.zeros((1, 16), np.float32), "embedding.weight")
        ),
        "weights that are no numbers": with_numbers("classifier.weight", np.nan),
        "a newer opset": lambda m: setattr(m.opset_import[0], "version", 18),
        "two opsets": lambda m: m.opset_import.append(helper.make_opsetid("", 13)),
        "a format of the far future": lambda m: setattr(m, "ir_version", 2**40),
        "another input": lambda m: m.graph.input.append(
            helper.make_tensor_value_info("more", TensorProto.FLOAT, ["n"])
        ),
        "another output": lambda m: m.graph.output.append(
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["a", "b"])
        ),
        "a fixed number of texts": lambda m: setattr(
            m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 2
        ),
        "logits of another number of classes": lambda m: setattr(
            m.graph.output[0].type.tensor_type.shape.dim[1], "dim_value", 6
        ),
        "logits of three dimensions": lambda m: m.graph.output[0].type.tensor_type.shape.dim.add(),
        "no output": lambda m: m.graph.ClearField("output"),
        "no graph": lambda m: m.ClearField("graph"),
        "more dimensions than bytes": lambda m: m.graph.initializer[0].dims.append(1000),
        "dimensions without end": lambda m: m.graph.initializer[0].dims.extend([2**31] * 6),
        "dimensions of nothing": lambda m: m.graph.initializer[0].dims.__setitem__(0, 0),
        "numbers in another field": lambda m: m.graph.initializer.append(
            helper.make_tensor("numbers", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
        ),
        "two constants of one name": lambda m: constant(m, m.graph.initializer[0].name, [1]),
        "a constant in place of the logits": lambda m: (
            m.graph.node.pop(),
            constant(m, "logits", np.zeros((2, 5), np.float32)),
        ),
        "two results of one name": lambda m: m.graph.node.insert(1, m.graph.node[0]),
        "a circle": lambda m: m.graph.node[0].input.__setitem__(0, "logits"),
        "an input that nothing gives": lambda m: m.graph.node[5].input.__setitem__(0, "nothing"),
        "a hundred thousand nodes": lambda m: m.graph.node.extend(
            helper.make_node("Identity", ["input_ids"], [f"same_{number}"])
            for number in range(100_000)
        ),
        "a thousand inputs": lambda m: m.graph.node.insert(
            0, helper.make_node("Concat", ["input_ids"] * 1000, ["joined"], axis=0)
        ),
        "a name that a terminal obeys": lambda m: setattr(m.graph.node[0], "name", "\x1b[2J\a"),
        "settings for a runtime": lambda m: helper.set_model_props(
            m, {"ort_config": '{"session_options": {"enable_profiling": 1}}'}
        ),
        "constants of few numbers among many": lambda m: m.graph.sparse_initializer.append(
            onnx.SparseTensorProto(dims=[10**9, 10**9])
        ),
        "a quantization": lambda m: m.graph.quantization_annotation.append(
            onnx.TensorAnnotation(tensor_name="x")
        ),
    }
    return {name: rewritten(rewrite) for name, rewrite in rewrites.items()}


def sound_networks():
    """Unusual networks that must load."""
    return {
        "weights near the end": rewritten(with_numbers("embedding.weight", 3e38)),
        "the mark of another format": rewritten(lambda m: setattr(m, "producer_name", "ORTM")),
    }


def invalid_protobufs():
    """Bytes that are not an ONNX file."""
    deep = b""
    for _ in range(3000):
        deep = b"\x3a" + _length(deep) + deep
    nodes = b"\x0a\x00" * 10**6
    contents = {
        "nothing": b"",
        "messages in messages": deep,
        "a length without end": b"\x08\x08\x3a" + b"\xff" * 9 + b"\x01",
        "a million empty nodes": b"\x08\x08\x3a" + _length(nodes) + nodes,
        "another format": b"\x1c\x00\x00\x00ORTM" + bytes(1000),
    }
    return {
        name: lambda path, data=data: write(path, data, set()) for name, data in contents.items()
    }


def _length(data):
    size, parts = len(data), []
    while size > 127:
        parts.append(size & 127 | 128)
        size >>= 7
    return bytes([*parts, size])


def random_networks(count):
    """Networks of allowed operators with random changes."""
    return {
        f"network {seed}": rewritten(lambda model, seed=seed: mutate(model, random.Random(seed)))
        for seed in range(count)
    }


def mutate(model, rng):
    """Changes a network at random."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        rng.choice(
            [
                _change_input,
                _change_operator,
                _change_attribute,
                _change_constant,
                _add_constant,
                _remove_node,
                _shuffle_nodes,
            ]
        )(model, rng)


def _change_input(model, rng):
    names = [each.name for each in model.graph.initializer]
    names += [each.output[0] for each in model.graph.node]
    node = rng.choice(model.graph.node)
    place = rng.randrange(len(node.input))
    node.input[place] = rng.choice([*names, "input_ids", "attention_mask"])


def _change_operator(model, rng):
    rng.choice(model.graph.node).op_type = rng.choice(list(OPERATORS))


def _change_attribute(model, rng):
    for attribute in rng.choice(model.graph.node).attribute:
        if attribute.ints:
            attribute.ints[0] = rng.choice(INTEGERS)
        else:
            attribute.i = rng.choice(INTEGERS)


def _change_constant(model, rng):
    weights = rng.choice(model.graph.initializer)
    array = numpy_helper.to_array(weights).copy()
    if array.dtype == np.int64:
        array.flat[rng.randrange(array.size)] = rng.choice(INTEGERS)
    else:
        array = np.resize(array, [size + rng.randrange(2) for size in array.shape])
    weights.CopyFrom(numpy_helper.from_array(array, weights.name))


def _add_constant(model, rng):
    numbers = [rng.choice(INTEGERS) for _ in range(rng.choice([1, 2, 4]))]
    name = constant(model, f"numbers_{rng.random()}", numbers)
    rng.choice(model.graph.node).input[-1] = name


def _remove_node(model, rng):
    model.graph.node.remove(rng.choice(model.graph.node))


def _shuffle_nodes(model, rng):
    nodes = list(model.graph.node)
    rng.shuffle(nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
