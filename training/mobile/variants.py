"""Variants of a trained model, by pruning plan and precision, with their size and accuracy.

A variant is evaluated by the classifier that serves, as if it had been read from a folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import onnx

from gatewise.service.model.classifier import Classifier
from gatewise.service.model.model_documents import IntervalSettings, ModelConfig, Precision
from gatewise.service.model.model_folder import Artifact
from gatewise.training.evaluation.conformal_interval import conformal
from gatewise.training.evaluation.evaluate import Report
from gatewise.training.evaluation.regression import RegressionReport, report_on
from gatewise.training.mobile.onnx_parts import EMBEDDING, OnnxParts
from gatewise.training.mobile.pruning import PruningPlan, prune
from gatewise.training.mobile.text_model import with_tokenizer
from gatewise.training.onnx_export.keras_to_onnx import operators
from gatewise.training.onnx_export.precision import convert_precision
from gatewise.vocab.corpus.corpus_reader import Row
from gatewise.vocab.tokenizer.encoded_rows import EncodedRow, encode_rows
from gatewise.vocab.tokenizer.tokenizer import has_independent_entries, reduce_tokenizer
from gatewise.vocab.tokenizer.tokenizer_json import serialize_tokenizer


@dataclass(frozen=True)
class Variant:
    """A smaller version of a model, as if it had been read from a folder.

    It has no report without validation rows, and a text model only if that is requested.
    """

    artifact: Artifact
    plan: PruningPlan
    report: Report | RegressionReport | None
    text_model: onnx.ModelProto | None = None

    @property
    def precision(self) -> Precision:
        """How its weights are stored."""
        return self.artifact.precision

    @cached_property
    def tokenizer_bytes(self) -> bytes:
        """The contents of its `tokenizer.json`; none if it reads sequences of numbers."""
        tokenizer = self.artifact.dictionary
        return b"" if tokenizer is None else serialize_tokenizer(tokenizer, pretty=False)

    @cached_property
    def config_bytes(self) -> bytes:
        """The contents of its `config.json`."""
        return (self.artifact.config.model_dump_json() + "\n").encode()

    @property
    def parts_size(self) -> int:
        """Bytes of the network in ONNX, the tokenizer and `config.json`."""
        return len(self.artifact.model) + len(self.tokenizer_bytes) + len(self.config_bytes)

    @property
    def size(self) -> int:
        """Bytes that an app carries of it: its parts, or the text model if that is larger."""
        return max(self.parts_size, self.text_model.ByteSize() if self.text_model else 0)


@dataclass(frozen=True)
class VariantBuilder:
    """Makes variants of one model with weights in 32-bit floats.

    Without validation rows, variants have no metrics.
    """

    original: Artifact
    rows: Sequence[Row]
    with_text: bool = False

    @cached_property
    def network(self) -> OnnxParts:
        """The network of the original; do not change it."""
        return OnnxParts(onnx.load_from_string(self.original.model))

    @cached_property
    def can_drop_tokens(self) -> bool:
        """Whether the tokenizer can lose single tokens."""
        return has_independent_entries(self.original.tokenizer)

    def variant(self, precision: Precision, plan: PruningPlan | None = None) -> Variant:
        """Prunes the model and stores its weights in a precision."""
        plan = plan or PruningPlan()
        model = convert_precision(prune(self.network.model, plan), precision)
        tokenizer = self.original.dictionary
        if tokenizer is not None and plan.tokens is not None:
            tokenizer = reduce_tokenizer(tokenizer, plan.tokens.tolist())
        manifest = self.original.manifest.model_copy(update={"operators": operators(model)})
        artifact = replace(
            self.original,
            config=self._config(plan),
            manifest=manifest,
            dictionary=tokenizer,
            precision=precision,
            model=model.SerializeToString(deterministic=True),
        )
        report = None
        if self.rows:
            report, interval = self._measured(artifact)
            artifact = _with_interval(artifact, interval)
        elif artifact.model != self.original.model:
            artifact = _with_interval(artifact, None)
        text_model = with_tokenizer(artifact) if self.with_text else None
        return Variant(artifact, plan, report, text_model)

    def _measured(
        self, artifact: Artifact
    ) -> tuple[Report | RegressionReport, IntervalSettings | None]:
        """Metrics and, in a regression, the interval of this variant, whose errors are its own."""
        classifier = Classifier(artifact)
        encoded = encode_rows(classifier.encode, self.rows)
        rows = (row for row in encoded if isinstance(row, EncodedRow))
        if classifier.task == "regression":
            return conformal(classifier, rows)
        return report_on(classifier, rows), None

    def _config(self, plan: PruningPlan) -> ModelConfig:
        config = self.original.config
        network = config.gatewise.network
        if plan.width is not None and EMBEDDING in self.network:
            network = network.model_copy(update={"embedding_size": plan.width})
        tokens = config.vocab_size if plan.tokens is None else len(plan.tokens)
        # Of no use in an app, which would carry them.
        left_out = {"cascade": None, "examples": None}
        gatewise = config.gatewise.model_copy(update={"network": network, **left_out})
        return config.model_copy(update={"vocab_size": tokens, "gatewise": gatewise})


def _with_interval(artifact: Artifact, interval: IntervalSettings | None) -> Artifact:
    gatewise = artifact.config.gatewise.model_copy(update={"interval": interval})
    return replace(artifact, config=artifact.config.model_copy(update={"gatewise": gatewise}))
