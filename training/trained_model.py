"""A trained model: in memory as a classifier, and on disk as a model folder."""

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import onnx
import tensorflow as tf
import tokenizers
from tokenizers import Tokenizer

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import (
    FORMAT,
    PRECISIONS,
    PROBLEM_TYPES,
    CascadeSettings,
    GatewiseSettings,
    IntervalSettings,
    Manifest,
    ModelConfig,
    NetworkSettings,
    Precision,
    RejectSettings,
    TokenSettings,
    tokenizer_config,
)
from gatewise.service.model.model_folder import (
    ModelFolder,
    artifact_of,
    json_bytes,
    seal_model_folder,
)
from gatewise.service.model.onnx_validation.onnx_parser import OPSET
from gatewise.training.config.config import Config
from gatewise.training.data.value_scale import ValueScale
from gatewise.training.network.shape import Shape
from gatewise.training.network.streaming import streaming_obstacle
from gatewise.training.onnx_export.graph_builder import OLDEST_ONNXRUNTIME
from gatewise.training.onnx_export.keras_to_onnx import operators
from gatewise.training.onnx_export.logit_scaling import scale_logits
from gatewise.training.onnx_export.precision import convert_precision
from gatewise.training.onnx_export.step_model import build_step_model
from gatewise.training.report.contents import ReportContents
from gatewise.training.report.model_card import model_card
from gatewise.vocab.corpus.columns import Task
from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.tokenizer.tokenizer import PAD_ID
from gatewise.vocab.tokenizer.tokenizer_json import serialize_tokenizer

_IN_MEMORY = ModelFolder(Path("the trained model"))
"""The folder of a model that is in memory, for the names of files and for messages."""


@dataclass(frozen=True)
class TrainedModel:
    """Everything that goes into a model folder except the metrics.

    Attributes:
        lowered: The network in ONNX.
        tokenizer: The dictionary; None of sequences of numbers.
        labels: The classes in the order of the network's outputs.
        task: Whether a text has one of them, several, or numbers.
        shape: The sizes that followed from the corpus.
        config: The run's settings.
        parameters: Number of trained parameters.
        corpus_sha256: Digest of the training rows.
        thresholds: In a multi-label task, the score from which on each label is predicted.
        reject: When no label is predicted for a text; None if there always is one.
        interval: In a regression, the interval around each number; None without.
        cascade: When the linear path alone classifies a text; None if it never may.
        examples: A training text of each label; None if none are kept.
    """

    lowered: onnx.ModelProto
    tokenizer: Tokenizer | None
    labels: Labels
    task: Task
    shape: Shape
    config: Config
    parameters: int
    corpus_sha256: str
    thresholds: tuple[float, ...] | None = None
    reject: RejectSettings | None = None
    interval: IntervalSettings | None = None
    cascade: CascadeSettings | None = None
    examples: Mapping[str, str] | None = None

    def divided_by(self, temperature: float) -> "TrainedModel":
        """The same model with every logit divided by a temperature."""
        return replace(self, lowered=scale_logits(self.lowered, 1 / temperature))

    def in_units_of(self, scale: ValueScale) -> "TrainedModel":
        """The same model of standardized numbers, which predicts the numbers themselves."""
        return replace(self, lowered=scale_logits(self.lowered, scale.deviation, scale.mean))

    def classifier(self, precision: Precision = "fp32") -> Classifier:
        """The classifier that a folder of this model gives, made in memory.

        Args:
            precision: How the weights are stored.
        """
        name = _IN_MEMORY.name_of(_IN_MEMORY.model_in(precision))
        network = self.lowered if precision == "fp32" else self._networks[name]
        documents = {**self._documents(), name: _serialized(network)}
        manifest = self._manifest([network])
        return Classifier(artifact_of(_IN_MEMORY, manifest, documents, precision))

    def write(
        self,
        folder: ModelFolder,
        contents: ReportContents | None = None,
        *,
        with_report: bool = True,
    ) -> None:
        """Writes the folder.

        Args:
            folder: Where to.
            contents: What metrics, report and model card are made from; None leaves them out.
            with_report: Whether report and model card are written.

        Raises:
            ModelFolderError: If the written folder could not be loaded.
        """
        documents = {
            **{name: _serialized(network) for name, network in self._networks.items()},
            **self._documents(),
        }
        manifest = self.manifest()
        artifact_of(folder, manifest, documents)
        if contents is not None:
            documents[_IN_MEMORY.metrics.name] = json_bytes(contents.as_dict())
            documents |= self._report(contents) if with_report else {}
        for name, document in documents.items():
            (folder.path / name).write_bytes(document)
        seal_model_folder(folder, manifest)

    def manifest(self) -> Manifest:
        """The origin of the model, without the digests of the files."""
        return self._manifest(self._networks.values())

    @cached_property
    def _networks(self) -> dict[str, onnx.ModelProto]:
        """Every network of the folder, by its file's name."""
        networks = {
            _IN_MEMORY.name_of(_IN_MEMORY.model_in(precision)): convert_precision(
                self.lowered, precision
            )
            for precision in PRECISIONS
        }
        network, tokens, ngrams = self.config.network, self.config.tokens, self.shape.ngrams
        if not streaming_obstacle(network, tokens, ngrams):
            table = self.shape.table() if ngrams else None
            networks[_IN_MEMORY.name_of(_IN_MEMORY.step)] = build_step_model(
                self.lowered, network, table, tokens.max_length
            )
        return networks

    def _documents(self) -> dict[str, bytes]:
        """The contents of the files that are the same in every precision, by name."""
        config = self._model_config()
        documents = {_IN_MEMORY.config.name: json_bytes(config.model_dump(mode="json"))}
        if self.tokenizer is None:
            return documents
        return {
            _IN_MEMORY.tokenizer.name: serialize_tokenizer(self.tokenizer),
            _IN_MEMORY.tokenizer_config.name: json_bytes(tokenizer_config(config)),
            **documents,
        }

    def _report(self, contents: ReportContents) -> dict[str, bytes]:
        """The contents of the report and the model card, by name."""
        # Only now: the modules of the report take a second to import.
        from gatewise.training.report.page import page  # noqa: PLC0415

        card = model_card(
            contents.run,
            self.labels,
            self.config,
            contents.calibration,
            contents.rejection,
            self.examples,
        )
        return {
            _IN_MEMORY.report.name: page(contents).encode(),
            _IN_MEMORY.card.name: card.encode(),
        }

    def _model_config(self) -> ModelConfig:
        network = self.config.network
        directions = 2 if network.direction == "bidirectional" else 1
        return ModelConfig(
            # A type that Transformers.js knows; it reads the graph's own inputs and outputs, and
            # nothing of BERT's inside is expected.
            model_type="bert",
            architectures=("BertForSequenceClassification",),
            problem_type=PROBLEM_TYPES[self.task],
            id2label=dict(enumerate(self.labels.names)),
            label2id=self.labels.ids,
            vocab_size=self.shape.vocab_size,
            hidden_size=network.units * directions,
            num_hidden_layers=network.layers,
            max_position_embeddings=self.config.tokens.max_length,
            pad_token_id=PAD_ID,
            gatewise=GatewiseSettings(
                format=FORMAT,
                tokens=TokenSettings(
                    unit=self.config.tokens.unit,
                    max_length=self.config.tokens.max_length,
                    keep=self.config.tokens.keep,
                    windows=self.config.tokens.windows,
                    features=self.shape.features,
                ),
                network=NetworkSettings(
                    cell=network.cell,
                    direction=network.direction,
                    layers=network.layers,
                    units=network.units,
                    input=network.input,
                    embedding_size=network.embedding_size,
                    readout=network.readout,
                    ngrams=self.shape.ngrams,
                    buckets=self.shape.buckets,
                    parameters=self.parameters,
                ),
                thresholds=self.thresholds,
                reject=self.reject,
                interval=self.interval,
                cascade=self.cascade,
                examples=self.examples,
            ),
        )

    def _manifest(self, networks: Iterable[onnx.ModelProto]) -> Manifest:
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
            operators=operators(*networks),
            onnxruntime=OLDEST_ONNXRUNTIME,
        )


def _serialized(network: onnx.ModelProto) -> bytes:
    return network.SerializeToString(deterministic=True)
