"""A trained model's folder: its documents filled in, for Gatewise and for other runtimes.

What the documents look like is `gatewise.service.model.model_documents`'s business; where their
values come from in a training run is this module's. Knows nothing of fitting.
"""

import platform
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version

import keras
import numpy as np
import onnx
import tensorflow as tf
import tokenizers
from gatewise.service.model.model_documents import (
    FORMAT,
    PRECISIONS,
    GatewiseSettings,
    Manifest,
    ModelConfig,
    NetworkSettings,
    Precision,
    RejectSettings,
    TokenSettings,
    tokenizer_config,
)
from gatewise.service.model.model_folder import ModelFolder, seal_model_folder, write_json
from gatewise.service.model.onnx_validation.onnx_parser import OPSET
from gatewise.training.config.config import Config
from gatewise.training.network import streaming
from gatewise.training.network.shape import Shape
from gatewise.training.onnx_export.graph_builder import OLDEST_ONNXRUNTIME
from gatewise.training.onnx_export.keras_to_onnx import operators
from gatewise.training.onnx_export.logit_scaling import scale_logits
from gatewise.training.onnx_export.precision import stored_in
from gatewise.training.onnx_export.step_model import step
from gatewise.training.report.contents import ReportContents
from gatewise.training.report.model_card import model_card
from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.tokenizer.tokenizer import PAD_ID, serialize_tokenizer
from tokenizers import Tokenizer


@dataclass(frozen=True)
class TrainedModel:
    """Everything that goes into a model folder but its figures.

    Attributes:
        lowered: The network in ONNX.
        tokenizer: The dictionary.
        labels: The classes in the order of the network's outputs.
        multi_label: Whether a text may have several of them.
        shape: The sizes that followed from the corpus.
        config: The run's settings.
        parameters: Trained numbers in the network.
        corpus_sha256: Digest of the rows learnt from.
    """

    lowered: onnx.ModelProto
    tokenizer: Tokenizer
    labels: Labels
    multi_label: bool
    shape: Shape
    config: Config
    parameters: int
    corpus_sha256: str

    def divided_by(self, temperature: float) -> "TrainedModel":
        """The same model with every logit divided by a temperature."""
        return replace(self, lowered=scale_logits(self.lowered, 1 / temperature))

    def write(
        self,
        folder: ModelFolder,
        *,
        thresholds: tuple[float, ...] | None = None,
        reject: RejectSettings | None = None,
    ) -> None:
        """Writes the folder so that it can be loaded; the figures are still to come.

        Args:
            folder: Where to.
            thresholds: In a multi-label task, the score from which on each label is given.
            reject: When a text is given none of the labels; None if each is given one.
        """
        for precision, model in self._models.items():
            folder.model_in(precision).write_bytes(model.SerializeToString(deterministic=True))
        if self._step is not None:
            folder.step.write_bytes(self._step.SerializeToString(deterministic=True))
        folder.tokenizer.write_bytes(serialize_tokenizer(self.tokenizer))
        config = self._model_config(thresholds, reject)
        write_json(folder.tokenizer_config, tokenizer_config(config))
        write_json(folder.config, config.model_dump(mode="json"))
        seal_model_folder(folder, self.manifest())

    def write_figures(self, folder: ModelFolder, contents: ReportContents) -> None:
        """Adds what evaluating the written folder gave, and seals it again."""
        # Only now: what draws takes a second to import.
        from gatewise.training.report.page import page  # noqa: PLC0415

        write_json(folder.metrics, contents.as_dict())
        folder.report.write_text(page(contents), encoding="utf-8")
        card = model_card(
            contents.run, self.labels, self.config, contents.calibration, contents.rejection
        )
        folder.card.write_text(card, encoding="utf-8")
        seal_model_folder(folder, self.manifest())

    @cached_property
    def _models(self) -> dict[Precision, onnx.ModelProto]:
        return {precision: stored_in(precision, self.lowered) for precision in PRECISIONS}

    @cached_property
    def _step(self) -> onnx.ModelProto | None:
        network, tokens, ngrams = self.config.network, self.config.tokens, self.shape.ngrams
        if streaming.obstacle(network, tokens, ngrams):
            return None
        table = self.shape.table() if ngrams else None
        return step(self.lowered, network, table, tokens.max_length)

    def _model_config(
        self, thresholds: tuple[float, ...] | None, reject: RejectSettings | None
    ) -> ModelConfig:
        network = self.config.network
        directions = 2 if network.direction == "bidirectional" else 1
        return ModelConfig(
            # A type that Transformers.js knows; it reads the graph's own inputs and outputs, and
            # nothing of BERT's inside is expected.
            model_type="bert",
            architectures=("BertForSequenceClassification",),
            problem_type="multi_label_classification"
            if self.multi_label
            else "single_label_classification",
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
                thresholds=thresholds,
                reject=reject,
            ),
        )

    def manifest(self) -> Manifest:
        """Where the model comes from; sealing the folder adds what is in it."""
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
            operators=operators(*self._models.values(), *filter(None, [self._step])),
            onnxruntime=OLDEST_ONNXRUNTIME,
        )
