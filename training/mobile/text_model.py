"""Text in, label out: a model and its dictionary in one ONNX file.

For phones and browsers, where a program that reads `tokenizer.json` is hard to come by. Every
operator is built into onnxruntime itself. The network is a part of the graph that is passed
through as it is; what answers look like is this module's business, how a text becomes ids is that
of `gatewise.training.mobile.text_graph`.
"""

from typing import cast

import onnx
from gatewise.service.model.model_folder import Artifact
from gatewise.training.mobile import text_graph, tokenizer_tables
from gatewise.training.mobile.text_operators import DOMAINS, OPSET, TextGraph
from gatewise.training.mobile.tokenizer_tables import TokenizerTablesError
from onnx import TensorProto, compose, helper, numpy_helper, version_converter

__all__ = ["TokenizerTablesError", "tokenizing", "with_tokenizer"]

_IR_VERSION = 9
_NETWORK = "network/"
_INPUTS = ("input_ids", "attention_mask")


def with_tokenizer(loaded: Artifact) -> onnx.ModelProto:
    """A model that takes texts as they are.

    Input `text`, strings, `(batch,)`, one or more. Outputs `scores`, float32 `(batch, classes)`,
    which are `Classifier.predict_proba`; `classes`, strings `(classes,)`, the label of each score;
    and what `Classifier.predict` answers: `label`, strings `(batch,)`, or in a multi-label task
    `labels`, bool `(batch, classes)`, which of the classes each text has.

    A text without a token has no class, and the classifier refuses it. A graph cannot refuse one
    text of several: it answers what the network says of the begin mark alone.

    Args:
        loaded: The model folder. Its network may be of any precision.

    Raises:
        TokenizerTablesError: If the dictionary cannot be expressed exactly.
    """
    graph = TextGraph()
    names = _add_ids(graph, loaded)
    for name, given in zip(_INPUTS, names, strict=True):
        graph.nodes.append(helper.make_node("Identity", [given], [_NETWORK + name]))
    before = len(graph.nodes)
    outputs = _add_answers(graph, loaded)
    network = _network(loaded.model)
    nodes = [*graph.nodes[:before], *network.graph.node, *graph.nodes[before:]]
    return _model(graph, nodes, outputs, network)


def tokenizing(loaded: Artifact) -> onnx.ModelProto:
    """A model of the dictionary alone: the ids of the encoding, for any network.

    Input `text`, strings, `(batch,)`, one or more. Outputs `input_ids` and `attention_mask`, int64
    `(batch, sequence)`.

    Args:
        loaded: The model folder.

    Raises:
        TokenizerTablesError: If the dictionary cannot be expressed exactly.
    """
    graph = TextGraph()
    names = _add_ids(graph, loaded)
    outputs = []
    for name, given in zip(_INPUTS, names, strict=True):
        graph.nodes.append(helper.make_node("Identity", [given], [name]))
        outputs.append(
            helper.make_tensor_value_info(name, TensorProto.INT64, ("batch", "sequence"))
        )
    return _model(graph, graph.nodes, outputs)


def _add_ids(graph: TextGraph, loaded: Artifact) -> tuple[str, str]:
    tokens = loaded.config.gatewise.tokens
    try:
        how = tokenizer_tables.read(loaded.tokenizer, tokens.unit)
    except TokenizerTablesError as error:
        raise TokenizerTablesError(f"{loaded.folder.tokenizer}: {error}") from None
    return text_graph.add_ids(graph, "text", how, tokens.max_length, tokens.keep)


def _add_answers(graph: TextGraph, loaded: Artifact) -> list[onnx.ValueInfoProto]:
    """From logits to what is told of a text, by the arithmetic of `service.model.scores`."""
    config = loaded.config
    classes = len(loaded.labels)
    wide = graph.add("Cast", _NETWORK + "logits", to=TensorProto.DOUBLE)
    wide = graph.add("Sigmoid", wide) if config.multi_label else graph.add("Softmax", wide, axis=1)
    scores = graph.add("Cast", wide, to=TensorProto.FLOAT)
    names = graph.strings("label_names", loaded.labels.names)
    answers = {"scores": scores, "classes": names}
    outputs = [
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ("batch", classes)),
        helper.make_tensor_value_info("classes", TensorProto.STRING, (classes,)),
    ]
    if config.multi_label:
        thresholds = graph.constant("thresholds", config.label_thresholds())
        answers["labels"] = graph.add("GreaterOrEqual", scores, thresholds)
        outputs.append(
            helper.make_tensor_value_info("labels", TensorProto.BOOL, ("batch", classes))
        )
    else:
        best = graph.add("ArgMax", scores, axis=1, keepdims=0)
        answers["label"] = graph.add("Gather", names, best)
        if reject := config.gatewise.reject:
            highest = graph.add("ReduceMax", scores, graph.integers(1), keepdims=0)
            threshold = graph.constant("reject_threshold", [reject.threshold])
            reached = graph.add("GreaterOrEqual", highest, threshold)
            none = graph.strings("reject_label", [reject.label])
            answers["label"] = graph.add("Where", reached, answers["label"], none)
        outputs.append(helper.make_tensor_value_info("label", TensorProto.STRING, ("batch",)))
    for name, given in answers.items():
        graph.nodes.append(helper.make_node("Identity", [given], [name]))
    return outputs


def _network(model: bytes) -> onnx.ModelProto:
    """A network in the opset written here or a newer one, every name of it with a prefix."""
    network = onnx.load_model_from_string(model)
    versions = {opset.domain: opset.version for opset in network.opset_import}
    if versions[""] < OPSET:
        network = version_converter.convert_version(network, OPSET)
    return cast(onnx.ModelProto, compose.add_prefix(network, _NETWORK))


def _model(
    graph: TextGraph,
    nodes: list[onnx.NodeProto],
    outputs: list[onnx.ValueInfoProto],
    network: onnx.ModelProto | None = None,
) -> onnx.ModelProto:
    domains = {"": OPSET, **DOMAINS}
    weights: list[onnx.TensorProto] = []
    if network is not None:
        for opset in network.opset_import:
            domains[opset.domain] = max(opset.version, domains.get(opset.domain, 0))
        weights = list(network.graph.initializer)
    proto = helper.make_graph(
        nodes,
        "gatewise",
        inputs=[helper.make_tensor_value_info("text", TensorProto.STRING, ("batch",))],
        outputs=outputs,
        initializer=[
            *(numpy_helper.from_array(array, name) for name, array in graph.constants.items()),
            *weights,
        ],
    )
    model = helper.make_model(
        proto,
        producer_name="gatewise",
        opset_imports=[helper.make_opsetid(*domain) for domain in domains.items()],
        ir_version=max(_IR_VERSION, network.ir_version if network else 0),
    )
    onnx.checker.check_model(model, full_check=True)
    return model
