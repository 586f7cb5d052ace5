"""A network that was looked at, in onnxruntime, ready to be run."""

from pathlib import Path

import onnxruntime as ort
from gatewise.service.model.errors import ModelFolderError


def open_session(contents: bytes, file: Path, threads: int) -> ort.InferenceSession:
    """Gives a network to onnxruntime.

    Args:
        contents: The network, in ONNX.
        file: Where it was read from, for messages.
        threads: Threads that one call may use.

    Raises:
        ModelFolderError: If onnxruntime refuses it.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # What goes wrong is raised too, and told once.
    options.log_severity_level = 4
    # The bytes were read as ONNX and are taken for nothing else, whatever they begin with.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        return ort.InferenceSession(contents, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes derive from Exception alone
        raise ModelFolderError(f"{file}: onnxruntime refuses it: {first_line(error)}") from None


def first_line(error: Exception) -> str:
    """The first line of what onnxruntime says, as long as a message may be."""
    return str(error).partition("\n")[0][:300]
