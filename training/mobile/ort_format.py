"""A network in onnxruntime's own format, and what a reduced build of onnxruntime must have for it.

A build for devices leaves out the reader of ONNX files and every operator that is not needed; it
reads the ORT format (https://onnxruntime.ai/docs/performance/model-optimizations/
ort-format-models.html). Knows onnxruntime's converter, which is onnxruntime itself, and nothing of
what the network computes.
"""

import tempfile
from pathlib import Path

import onnx
import onnxruntime as ort
from gatewise.vocab.errors import GatewiseError


class OrtFormatError(GatewiseError):
    """A network could not be written in ORT format."""


def to_ort(model: bytes) -> bytes:
    """The same network in ORT format.

    Nothing is computed ahead, for weights that are stored in 8 or 16 bits would become 32-bit
    floats, in the file too; they do at each call instead.

    onnxruntime writes one list of the file, of operators and their types, in an order that differs
    from call to call; all else is the same bytes for the same network.

    Args:
        model: Any network that onnxruntime loads, as ONNX.

    Raises:
        OrtFormatError: If it cannot be written, for want of room in the folder for temporary
            files, say.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.ort"
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.optimized_model_filepath = str(file)
        options.log_severity_level = 3
        options.add_session_config_entry("session.save_model_format", "ORT")
        try:
            ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            return file.read_bytes()
        except Exception as error:  # onnxruntime's own have no other class in common
            raise OrtFormatError(
                f"{folder}: the network cannot be written there in ORT format: {error}; is there "
                "room? TMPDIR names another folder"
            ) from error


def required_operators(*models: onnx.ModelProto) -> str:
    """The file that a reduced build is configured by: domain, opset, operators, a line for each.

    The format is that of onnxruntime's `--include_ops_by_config`
    (https://onnxruntime.ai/docs/reference/operators/reduced-operator-config-file.html).
    """
    used: dict[tuple[str, int], set[str]] = {}
    for model in models:
        opsets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
        for node in model.graph.node:
            domain = node.domain or "ai.onnx"
            used.setdefault((domain, opsets[domain]), set()).add(node.op_type)
    return "".join(
        f"{domain};{version};{','.join(sorted(names))}\n"
        for (domain, version), names in sorted(used.items())
    )
