"""Opens a validated network in onnxruntime."""

from pathlib import Path

import onnxruntime as ort

from gatewise.service.model.errors import ModelFolderError
from gatewise.vocab.errors import first_line


def open_session(contents: bytes, file: Path, threads: int) -> ort.InferenceSession:
    """Opens a network in onnxruntime."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Errors are raised too; they need not be logged as well.
    options.log_severity_level = 4
    # The bytes were validated as ONNX; onnxruntime must not take them for its own format.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        return ort.InferenceSession(contents, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes derive from Exception alone
        raise ModelFolderError(f"{file}: onnxruntime refuses it: {first_line(error)}") from None
