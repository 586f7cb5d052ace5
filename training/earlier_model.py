"""An earlier model that a run starts from: its dictionary, its settings and its weights.

The run has other rows, and may have further labels and words. Its network has the earlier one's
sizes, so that the weights fit.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer

from gatewise.service.model.classifier import Classifier
from gatewise.training.config.config import Config, ConfigError, validated
from gatewise.training.data.corpora import Rows
from gatewise.training.data.stored_rows import StoredRows
from gatewise.training.evaluation.evaluate import Report, evaluate
from gatewise.vocab.corpus.labels import Labels
from gatewise.vocab.errors import ArgumentError
from gatewise.vocab.tokenizer.encoded_rows import EncodedRow
from gatewise.vocab.tokenizer.tokenizer import UNKNOWN_ID, grow_tokenizer, train_tokenizer

if TYPE_CHECKING:
    import keras

    from gatewise.training.onnx_export.onnx_to_keras import Constants

RATE_FACTOR = 1 / 3
"""Factor of the default learning rate: the weights are near their optimum already."""

_CHANGEABLE = {
    *("tokens.vocab_size", "tokens.min_frequency", "network.dropout", "network.word_dropout"),
    *("network.embedding_dropout", "network.input_dropout", "network.recurrent_dropout"),
    "network.weight_drop",
}
"""Settings of dictionary and network that may differ from those of the earlier model."""


@dataclass(frozen=True, eq=False)
class EarlierModel:
    """An earlier model.

    Attributes:
        classifier: The model.
        config: The settings of its run.
    """

    classifier: Classifier
    config: Config

    @classmethod
    def of(cls, classifier: Classifier, metrics: Mapping[str, Any]) -> "EarlierModel":
        """The earlier model of a folder.

        Args:
            classifier: The model.
            metrics: What its `metrics.json` holds.

        Raises:
            ArgumentError: If the folder does not have what a run needs.
        """
        loaded = classifier.artifact
        loaded.require_texts()
        if loaded.precision != "fp32":
            raise ArgumentError(
                f"{loaded.folder.path}: expected a model with its weights in 32-bit floats, "
                f"received {loaded.precision}: start from the folder that gatewise train wrote"
            )
        return cls(classifier, validated(metrics["config"]))

    @property
    def sha256(self) -> str:
        """The digest of the model folder."""
        return self.classifier.artifact.sha256

    @property
    def labels(self) -> tuple[str, ...]:
        """Its labels."""
        return self.classifier.artifact.labels.names

    @property
    def _path(self) -> Path:
        return self.classifier.artifact.folder.path

    @cached_property
    def _constants(self) -> "Constants":
        """The weights of its network by name."""
        from gatewise.training.onnx_export.onnx_to_keras import constants_of

        return constants_of(self.classifier.artifact.model)

    def settings(self, config: Config) -> Config:
        """The settings of a run that starts from this model.

        Args:
            config: The run's settings.

        Raises:
            ConfigError: If a setting does not fit the model.
        """
        shape = self.classifier.artifact.config.gatewise.network
        own = self.config.changed("network", buckets=shape.buckets, vectors=None)
        own = own.changed("network", train_vectors="auto")
        for section in ("tokens", "network"):
            values = getattr(config, section)
            chosen = {name: getattr(values, name) for name in values.model_fields_set}
            for name, value in chosen.items():
                earlier = getattr(getattr(own, section), name)
                if value not in (earlier, "auto") and f"{section}.{name}" not in _CHANGEABLE:
                    raise ConfigError(
                        f"setting {section}.{name}: expected {earlier}, as {self._path} was "
                        f"trained with, received {value}: its weights fit no other network"
                    )
            own = own.changed(
                section, **{k: v for k, v in chosen.items() if f"{section}.{k}" in _CHANGEABLE}
            )
        training = config.training
        if training.linear_path == "solved":
            raise ConfigError(
                "training.linear_path=solved: a solver would discard the weights of "
                f"{self._path}: leave the setting out"
            )
        changes: dict[str, object] = {"linear_path": "descended"}
        if "learning_rate" not in training.model_fields_set and training.learning_rate != "auto":
            changes["learning_rate"] = training.learning_rate * RATE_FACTOR
        return config.model_copy(update={"tokens": own.tokens, "network": own.network}).changed(
            "training", **changes
        )

    def check_task(self, rows: Rows) -> None:
        """Refuses rows of another task.

        Raises:
            ArgumentError: If texts have one label in one of the two, and several in the other.
        """
        if "regression" in (rows.task, self.classifier.task):
            raise ArgumentError(
                f"{self._path}: a run that predicts numbers cannot start from an earlier model, "
                "nor any run from a model that does: train it from the start"
            )
        if rows.multi_label != self.classifier.multi_label:
            kinds = {False: "one label a text", True: "any number of labels a text"}
            raise ArgumentError(
                f"{self._path}: expected a model with {kinds[rows.multi_label]}, as the rows have, "
                f"received one with {kinds[self.classifier.multi_label]}"
            )

    def tokenizer(self, texts: Iterable[str], config: Config) -> Tokenizer:
        """The dictionary with the words of more texts after its own.

        Args:
            texts: The training texts of the run.
            config: The run's settings.
        """
        options = {**config.tokens.dictionary_options(), "pieces": 0}
        return grow_tokenizer(
            self.classifier.artifact.tokenizer,
            train_tokenizer(texts, **options),
            config.tokens.vocab_size,
        )

    def with_ngram_width(self, config: Config, classes: int) -> Config:
        """The settings with the width that the weights of an n-gram have.

        Args:
            config: The run's settings.
            classes: Labels of the run.
        """
        kernel = self._constants.get("ngrams.kernel")
        width = classes if kernel is None else len(kernel)
        return config.changed("network", ngram_width=width)

    def set_weights(
        self, network: "keras.Model", config: Config, tokenizer: Tokenizer, labels: Labels
    ) -> None:
        """Sets the weights of the run's network to those of the model.

        Args:
            network: The fresh network; its document frequencies are counted.
            config: The run's settings.
            tokenizer: The dictionary of the run.
            labels: The labels of the run.
        """
        from gatewise.training.onnx_export.onnx_to_keras import set_exported_weights

        own = self.classifier.artifact.tokenizer
        size = own.get_vocab_size()
        new = {token: id_ for token, id_ in tokenizer.get_vocab().items() if id_ >= size}
        read = own.encode_batch(list(new), add_special_tokens=False)
        pieces = {id_: each.ids for id_, each in zip(new.values(), read, strict=True)}
        set_exported_weights(
            network,
            config.network,
            self._constants,
            size,
            np.array([labels.ids[name] for name in self.labels]),
            {id_: ids for id_, ids in pieces.items() if ids and UNKNOWN_ID not in ids},
        )

    def evaluate(self, rows: StoredRows) -> Report:
        """The metrics of the model on rows, which may have labels that it lacks."""

        def encoded() -> Iterator[EncodedRow]:
            for window in rows.windows():
                texts = self.classifier.encode([row.text for row in window])
                yield from map(EncodedRow, window, texts)

        return evaluate(self.classifier, encoded())
