"""A network in ORT format, and the operators that a reduced build of onnxruntime needs for it.

A reduced build reads no ONNX files and has only the operators that it was configured with
(https://onnxruntime.ai/docs/performance/model-optimizations/ort-format-models.html).
"""

import tempfile
from pathlib import Path

import onnx
import onnxruntime as ort

from gatewise.vocab.errors import GatewiseError


def to_ort(model: bytes) -> bytes:
    """The same network in ORT format.

    Optimizations are off: constant folding would store 8-bit and 16-bit weights as 32-bit floats.

    onnxruntime writes one list, of operators and their types, in an order that differs from call
    to call; all other bytes are the same for the same network.

    Raises:
        GatewiseError: If onnxruntime cannot load it, or the temporary folder is full.
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
        except Exception as error:  # onnxruntime's errors have no narrower common class
            raise GatewiseError(
                f"{folder}: the network cannot be written in ORT format: {error}; if the disk is "
                "full, set TMPDIR to another folder"
            ) from error


def required_operators(*models: onnx.ModelProto) -> str:
    """The configuration of a reduced build: a line for each domain and opset with its operators.

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
