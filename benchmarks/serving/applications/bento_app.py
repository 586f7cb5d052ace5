"""BentoML, as its guide to adaptive batching has it.

    MODEL=FOLDER bentoml serve bento_app:Classifier --port PORT --working-dir .

One worker, as BentoML has by default.
"""

import os
from typing import Any

import bentoml

from benchmarks.serving.applications.model import Model


@bentoml.service(traffic={"timeout": 60})
class Classifier:
    """Classifies texts."""

    def __init__(self) -> None:
        self._model = Model(os.environ["MODEL"])

    @bentoml.api(batchable=True, max_batch_size=64)  # type: ignore[untyped-decorator]
    def predict(self, inputs: list[str]) -> list[list[dict[str, Any]]]:
        """Each text's labels, best first."""
        return [[dict(each) for each in answer] for answer in self._model.answers(inputs)]
