"""Rows to a model folder: data, network, fit, ONNX export, evaluation, report.

The only package that imports TensorFlow.
"""

import os

# TensorFlow and Keras read these at import, so they are set first: Keras has other backends,
# TensorFlow logs notices at start, and oneDNN kernels may sum in another order on another CPU.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# These would end training before its own settings do.
os.environ.pop("KERAS_MAX_EPOCHS", None)
os.environ.pop("KERAS_MAX_STEPS_PER_EPOCH", None)
# As in `service`: no telemetry.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
