"""Ids to answers: the model folder, the classifier, batch scoring, the HTTP service.

Imports `vocab` only. Knows nothing of how a model is trained.
"""

import os

# onnxruntime reads this when it is imported. Since version 1.32 it else keeps a number of the
# machine and a database in the home folder, and sends to its maker what is run.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
