"""Hostile step networks: invalid or growing states, wrong inputs and outputs.

Each case changes the step network of a copy of a real folder and reseals the manifest.
"""

import random

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gatewise.service.model.model_documents import Manifest
from gatewise.service.model.model_folder import ModelFolder, seal_model_folder


def rewritten(rewrite):
    """A case that changes the step network."""

    def apply(path):
        folder = ModelFolder(path)
        model = onnx.load(folder.step)
        rewrite(model)
        write(path, model.SerializeToString())

    return apply


def write(path, contents):
    """Writes a step network, and a manifest with the operators of all networks."""
    folder = ModelFolder(path)
    folder.step.write_bytes(contents)
    operators: set[str] = set()
    for file in folder.path.glob("onnx/*.onnx"):
        try:
            operators |= {node.op_type for node in onnx.load(file).graph.node}
        except Exception:  # bytes that are not a network
            continue
    manifest = Manifest.model_validate_json(folder.manifest.read_bytes())
    names = sorted(name[:50] for name in operators if name.isprintable())
    seal_model_folder(folder, manifest.model_copy(update={"operators": tuple(names)}))


def value_info(model, side, name):
    return next(each for each in getattr(model.graph, side) if each.name == name)


def tensor_type(model, name):
    return value_info(model, "input", name).type.tensor_type


def producer(model, name):
    return next(node for node in model.graph.node if name in node.output)


def node(model, operator):
    return next(each for each in model.graph.node if each.op_type == operator)


def constant(model, name, value):
    model.graph.initializer.append(numpy_helper.from_array(np.array(value), name))
    return name


def add_state(model, name, *shape, same=True):
    for side, prefix in (("input", "state."), ("output", "next.")):
        info = helper.make_tensor_value_info(prefix + name, TensorProto.FLOAT, shape)
        getattr(model.graph, side).append(info)
    inputs = [f"state.{name}"] * (1 if same else 2)
    operator, options = ("Identity", {}) if same else ("Concat", {"axis": -1})
    model.graph.node.append(helper.make_node(operator, inputs, [f"next.{name}"], **options))


def set_dimension(model, name, place, size):
    dimension = tensor_type(model, name).shape.dim[place]
    dimension.Clear()
    setattr(dimension, "dim_param" if isinstance(size, str) else "dim_value", size)


def hostile_steps():
    """Step networks that must be refused."""
    rewrites = {
        "a state that grows": lambda m: add_state(m, "more", "batch", 4, same=False),
        "a state of a gigabyte": lambda m: add_state(m, "more", "batch", 2**28),
        "states of many megabytes together": lambda m: [
            add_state(m, f"s{n}", "batch", 2**18) for n in range(10)
        ],
        "a state of nothing": lambda m: add_state(m, "more", "batch", 0),
        "a state of any size": lambda m: add_state(m, "more", "batch", "any"),
        "a thousand states": lambda m: [add_state(m, f"s{n}", "batch", 1) for n in range(1000)],
        "a state called otherwise": lambda m: m.graph.input.append(
            helper.make_tensor_value_info("other", TensorProto.FLOAT, ["batch", 1])
        ),
        "a state that does not come out": lambda m: m.graph.output.pop(),
        "a state that nothing gives": lambda m: m.graph.node.remove(
            producer(m, m.graph.output[-1].name)
        ),
        "two states of one name": lambda m: (
            m.graph.input.append(m.graph.input[-1]),
            m.graph.output.append(m.graph.output[-1]),
        ),
        "a state of texts": lambda m: setattr(
            tensor_type(m, "state.count"), "elem_type", TensorProto.STRING
        ),
        "a state of another type than it was": lambda m: setattr(
            tensor_type(m, "state.window"), "elem_type", TensorProto.FLOAT
        ),
        "a state of another size than it was": lambda m: set_dimension(m, "state.sum", 2, 7),
        "a state in the place of another": lambda m: (
            setattr(producer(m, "next.sum"), "op_type", "Identity"),
            producer(m, "next.sum").input.__setitem__(0, "state.seen"),
        ),
        "no token": lambda m: m.graph.input.pop(0),
        "no logits": lambda m: m.graph.output.pop(0),
        "logits of another width": lambda m: producer(m, "logits").input.__setitem__(
            0, "state.count"
        ),
        "a constant in place of a state": lambda m: constant(
            m, "state.count", np.zeros((1, 1, 1), np.float32)
        ),
        "states of another number of units": lambda m: set_dimension(m, "state.hidden_0", 2, 7),
        "one state too few for a cell": lambda m: node(m, "LSTM").input.pop(),
        "nodes of more than a megabyte": lambda m: m.graph.node.extend(
            helper.make_node("Concat", ["state.seen"] * 60, [f"long_{n}"], axis=0)
            for n in range(1500)
        ),
    }
    cases = {name: rewritten(rewrite) for name, rewrite in rewrites.items()}
    cases["the whole network"] = lambda path: write(path, ModelFolder(path).model.read_bytes())
    cases["nothing"] = lambda path: write(path, b"")
    cases["in place of the whole network"] = lambda path: (
        ModelFolder(path).model.write_bytes(ModelFolder(path).step.read_bytes()),
        write(path, ModelFolder(path).step.read_bytes()),
    )[1]
    return cases


def bad_states():
    """Step networks that load, and whose states become invalid when they run."""

    def ids_from(name):
        def rewrite(model):
            model.graph.node.insert(
                0, helper.make_node("Cast", [name], ["ids"], to=TensorProto.INT64)
            )
            model.graph.node.insert(
                1, helper.make_node("Gather", ["embedding.weight", "ids"], ["found"])
            )

        return rewrite

    def times(name, factor):
        def rewrite(model):
            output = producer(model, f"next.{name}")
            inputs = [output.input[0], constant(model, "factor", np.float32(factor))]
            output.CopyFrom(helper.make_node("Mul", inputs, [f"next.{name}"]))

        return rewrite

    return {
        "rows that a state tells": rewritten(ids_from("state.count")),
        "a state that soon has no end": rewritten(times("sum", 1e30)),
        "a count of nothing": rewritten(times("count", 0.0)),
    }


def random_steps(count, change):
    """Step networks of allowed operators with random changes."""
    return {
        f"step {seed}": rewritten(lambda model, seed=seed: change(model, random.Random(seed)))
        for seed in range(count)
    }
