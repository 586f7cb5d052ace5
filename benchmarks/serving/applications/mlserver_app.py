"""MLServer, as its guides to custom runtimes and adaptive batching have it.

    MODEL=FOLDER mlserver start SETTINGS

SETTINGS has a model-settings.json that names `Classifier` by its whole path.
"""

import os

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.serving.applications.model import Model


class Classifier(MLModel):  # type: ignore[misc]  # it tells no types
    """Classifies texts."""

    async def load(self) -> bool:
        """Loads the model."""
        self._model = Model(os.environ["MODEL"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Every label and its score for each text, in the model's order."""
        texts = [text for each in payload.inputs for text in self.decode(each)]
        scores = np.array(self._model.scores(texts))
        labels = [label for _ in texts for label in self._model.labels]
        tensor = StringCodec.encode_output("labels", labels)
        tensor.shape = list(scores.shape)
        return InferenceResponse(
            model_name=self.name,
            outputs=[tensor, NumpyCodec.encode_output("scores", scores)],
        )
