"""Validates a network of a model folder before onnxruntime loads it."""

from gatewise.service.model.errors import NetworkError
from gatewise.service.model.onnx_validation.onnx_parser import (
    ParsedNetwork,
    parse_network,
    parse_step_network,
)
from gatewise.service.model.onnx_validation.operator_allowlist import check_operators


def validate_network(contents: bytes, num_classes: int, *, is_step: bool) -> ParsedNetwork:
    """Parses a network and checks its operators and its number of classes.

    Args:
        contents: The ONNX file.
        num_classes: The number of labels of the model.
        is_step: Whether it is a step network, which reads one token at a time.

    Raises:
        NetworkError: It contains anything that Gatewise does not write.
    """
    network = parse_step_network(contents) if is_step else parse_network(contents)
    check_operators(network)
    found = network.signature.num_classes
    if found not in (None, num_classes):
        raise NetworkError(
            f"expected logits of {num_classes} classes by config.json, found {found}"
        )
    return network
