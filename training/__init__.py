"""Rows to a model folder: dataset, network, fit, lowering to ONNX, report.

The only package that imports TensorFlow; it imports `service` and `vocab`, never the reverse.
"""

import os

# TensorFlow and Keras read these when they are imported, so they must be set before: Keras has
# other backends, TensorFlow's start-up notices are no news to somebody who trains, and oneDNN
# kernels may sum in another order on another processor.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# These would end training before its own settings do.
os.environ.pop("KERAS_MAX_EPOCHS", None)
os.environ.pop("KERAS_MAX_STEPS_PER_EPOCH", None)
# As in `service`: what is trained on is nobody else's business.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
