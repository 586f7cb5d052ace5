"""Ids to predictions: the model folder, the classifier, batch scoring, the HTTP service."""

import os

# onnxruntime reads this at import. Since version 1.32 it otherwise stores a machine id and a
# database in the home folder and sends usage data to its maker.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
