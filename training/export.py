"""A trained model's folder: its documents filled in, for Gatewise and for other runtimes.

What the documents look like is `service.layout`'s business; where their values come from in a
training run is this module's. Knows nothing of fitting.
"""

import hashlib
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version

import keras
import numpy as np
import onnx
import tensorflow as tf
import tokenizers
from tokenizers import Tokenizer

from service import artifact
from service.layout import (
    FORMAT,
    GatewiseSettings,
    Manifest,
    ModelConfig,
    ModelFolder,
    NetworkSettings,
    TokenSettings,
)
from training.card import model_card
from training.config import Config
from training.lowering import OPSET, operators
from training.network import Shape
from training.run import Run
from vocab import dictionary
from vocab.corpus import Row
from vocab.labels import Labels


@dataclass(frozen=True)
class TrainedModel:
    """Everything that goes into a model folder but its figures.

    Attributes:
        lowered: The network in ONNX.
        tokenizer: The dictionary.
        labels: The classes in the order of the network's outputs.
        shape: The sizes that followed from the corpus.
        config: The run's settings.
        parameters: Trained numbers in the network.
        corpus_sha256: Digest of the rows learnt from.
    """

    lowered: onnx.ModelProto
    tokenizer: Tokenizer
    labels: Labels
    shape: Shape
    config: Config
    parameters: int
    corpus_sha256: str

    def write(self, folder: ModelFolder) -> None:
        """Writes the folder so that it can be loaded; the figures are still to come."""
        folder.model.write_bytes(self.lowered.SerializeToString(deterministic=True))
        folder.tokenizer.write_bytes(dictionary.serialize(self.tokenizer))
        artifact.write_json(folder.tokenizer_config, self._tokenizer_config())
        artifact.write_json(folder.config, self._model_config().model_dump(mode="json"))
        artifact.seal(folder, self._manifest())

    def write_figures(self, folder: ModelFolder, run: Run) -> None:
        """Adds what evaluating the written folder gave, and seals it again."""
        document = {**run.as_dict(), "config": self.config.model_dump(mode="json")}
        artifact.write_json(folder.metrics, document)
        folder.card.write_text(model_card(run, self.labels, self.config), encoding="utf-8")
        artifact.seal(folder, self._manifest())

    def _model_config(self) -> ModelConfig:
        network = self.config.network
        directions = 2 if network.direction == "bidirectional" else 1
        return ModelConfig(
            # A type that Transformers.js knows; it reads the graph's own inputs and outputs, and
            # nothing of BERT's inside is expected.
            model_type="bert",
            architectures=("BertForSequenceClassification",),
            problem_type="single_label_classification",
            id2label=dict(enumerate(self.labels.names)),
            label2id=self.labels.ids,
            vocab_size=self.shape.vocab_size,
            hidden_size=network.units * directions,
            num_hidden_layers=network.layers,
            max_position_embeddings=self.config.tokens.max_length,
            pad_token_id=dictionary.PAD_ID,
            gatewise=GatewiseSettings(
                format=FORMAT,
                tokens=TokenSettings(
                    unit=self.config.tokens.unit, max_length=self.config.tokens.max_length
                ),
                network=NetworkSettings(
                    cell=network.cell,
                    direction=network.direction,
                    layers=network.layers,
                    units=network.units,
                    embedding_size=network.embedding_size,
                    readout=network.readout,
                    ngrams=self.shape.ngrams,
                    buckets=network.buckets,
                    parameters=self.parameters,
                ),
            ),
        )

    def _tokenizer_config(self) -> dict[str, object]:
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": self.config.tokens.max_length,
            "pad_token": dictionary.PAD,
            "unk_token": dictionary.UNKNOWN,
            "cls_token": dictionary.BEGIN,
            "padding_side": "right",
            "truncation_side": "right",
            "model_input_names": ["input_ids", "attention_mask"],
            "clean_up_tokenization_spaces": False,
        }

    def _manifest(self) -> Manifest:
        return Manifest(
            seed=self.config.training.seed,
            corpus_sha256=self.corpus_sha256,
            versions={
                "gatewise": version("gatewise"),
                "python": platform.python_version(),
                "keras": keras.__version__,
                "numpy": np.__version__,
                "onnx": onnx.__version__,
                "tensorflow": tf.__version__,
                "tokenizers": tokenizers.__version__,
            },
            opset=OPSET,
            operators=operators(self.lowered),
        )


def corpus_digest(rows: Iterable[Row]) -> str:
    """SHA-256 of rows in their order, whatever file format they came in.

    Each text and label enters with its length in bytes before it, so that no two different
    corpora are the same sequence of bytes.
    """
    digest = hashlib.sha256()
    for row in rows:
        for part in (row.text.encode(), row.label.encode()):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
    return digest.hexdigest()
