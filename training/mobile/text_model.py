"""A model and its tokenizer in one ONNX file: text in, label out.

For phones and browsers, where few programs read `tokenizer.json`. Every operator is built into
onnxruntime itself.
"""

from typing import cast

import onnx
from onnx import TensorProto, compose, helper, numpy_helper, version_converter

from gatewise.service.model.model_folder import Artifact
from gatewise.training.mobile.tokenizer_graph import DOMAINS, OPSET, TextGraph, add_ids
from gatewise.training.mobile.tokenizer_tables import TokenizerTablesError, read_tables

_IR_VERSION = 9
_NETWORK = "network/"


def with_tokenizer(loaded: Artifact) -> onnx.ModelProto:
    """A model that takes texts, from a model folder of any precision.

    Input `text`, strings, `(batch,)`, one or more. Outputs `scores`, float32 `(batch, classes)`,
    equal to `Classifier.predict_proba`; `classes`, strings `(classes,)`, the label of each score;
    and the answers of `Classifier.predict`: `label`, strings `(batch,)`, or in a multi-label task
    `labels`, bool `(batch, classes)`.

    The classifier refuses a text without a token. A graph cannot refuse one text of a batch: it
    answers with the network's output for `[CLS]` alone.

    Raises:
        TokenizerTablesError: If the tokenizer cannot be expressed exactly.
    """
    graph = TextGraph()
    tokens = loaded.config.gatewise.tokens
    try:
        tables = read_tables(loaded.tokenizer, tokens.unit)
    except TokenizerTablesError as error:
        raise TokenizerTablesError(f"{loaded.folder.tokenizer}: {error}") from None
    ids, mask = add_ids(graph, "text", tables, tokens.max_length, tokens.keep)
    _name(graph, ids, _NETWORK + "input_ids")
    _name(graph, mask, _NETWORK + "attention_mask")
    network = _network(loaded.model)
    graph.nodes += network.graph.node
    for constant in network.graph.initializer:
        graph.constants[constant.name] = numpy_helper.to_array(constant)
    outputs = _add_outputs(graph, loaded)
    opsets = {"": OPSET, **DOMAINS}
    for opset in network.opset_import:
        opsets[opset.domain] = max(opset.version, opsets.get(opset.domain, 0))
    text = helper.make_tensor_value_info("text", TensorProto.STRING, ("batch",))
    return graph.finish([text], outputs, opsets, max(_IR_VERSION, network.ir_version))


def _name(graph: TextGraph, result: str, name: str) -> None:
    graph.nodes.append(helper.make_node("Identity", [result], [name]))


def _add_outputs(graph: TextGraph, loaded: Artifact) -> list[onnx.ValueInfoProto]:
    """Adds the nodes from logits to outputs, with the arithmetic of `service.model.scores`."""
    config = loaded.config
    classes = len(loaded.labels)
    wide = graph.add("Cast", _NETWORK + "logits", to=TensorProto.DOUBLE)
    if config.task != "regression":
        wide = (
            graph.add("Sigmoid", wide) if config.multi_label else graph.add("Softmax", wide, axis=1)
        )
    scores = graph.add("Cast", wide, to=TensorProto.FLOAT)
    names = graph.strings("label_names", loaded.labels.names)
    results = {"scores": scores, "classes": names}
    outputs = [
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ("batch", classes)),
        helper.make_tensor_value_info("classes", TensorProto.STRING, (classes,)),
    ]
    if config.multi_label:
        thresholds = graph.constant("thresholds", config.label_thresholds())
        results["labels"] = graph.add("GreaterOrEqual", scores, thresholds)
        outputs.append(
            helper.make_tensor_value_info("labels", TensorProto.BOOL, ("batch", classes))
        )
    elif config.task != "regression" or classes == 1:
        # Several numbers have no best one.
        best = graph.add("ArgMax", scores, axis=1, keepdims=0)
        results["label"] = graph.add("Gather", names, best)
        if reject := config.gatewise.reject:
            highest = graph.add("ReduceMax", scores, graph.integers(1), keepdims=0)
            threshold = graph.constant("reject_threshold", [reject.threshold])
            reached = graph.add("GreaterOrEqual", highest, threshold)
            none = graph.strings("reject_label", [reject.label])
            results["label"] = graph.add("Where", reached, results["label"], none)
        outputs.append(helper.make_tensor_value_info("label", TensorProto.STRING, ("batch",)))
    for name, result in results.items():
        _name(graph, result, name)
    return outputs


def _network(model: bytes) -> onnx.ModelProto:
    """A network in opset `OPSET` or newer, with a prefix to all its names."""
    network = onnx.load_model_from_string(model)
    versions = {opset.domain: opset.version for opset in network.opset_import}
    if versions[""] < OPSET:
        network = version_converter.convert_version(network, OPSET)
    return cast(onnx.ModelProto, compose.add_prefix(network, _NETWORK))
