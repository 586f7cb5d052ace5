"""What stands in a model folder: the paths, and the shapes of its JSON documents.

`config.json` follows Hugging Face's field names (id2label, label2id, problem_type, …), because
Transformers.js, optimum and Text Embeddings Inference read them; what only Gatewise reads is
under the one key `gatewise`. Knows nothing of reading, writing or digests.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Precision = Literal["fp32", "fp16", "int8"]
"""How a network's weights are stored: 32-bit floats, 16-bit floats, or 8-bit whole numbers."""

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
"""All of them, the most exact first."""

DTYPES: dict[Precision, str] = {"fp32": "fp32", "fp16": "fp16", "int8": "q8"}
"""What Transformers.js calls each of them."""

FORMAT = 2
"""The version of the folder's format that this code writes and reads.

Format 2 named the IDF weights of the network `ngrams.idf`; format 1 is refused.
"""


def _is_shown(text: str) -> str:
    # What a terminal would obey instead of showing it, and what fills a screen.
    if not text.isprintable() or len(text) > 200:
        raise ValueError(f"expected at most 200 characters that can be shown, found {text[:40]!r}")
    return text


_Shown = Annotated[str, AfterValidator(_is_shown)]
_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
# Every reader of JSON holds integers up to this one exactly.
_Number = Annotated[int, Field(ge=0, le=2**53)]


@dataclass(frozen=True)
class ModelFolder:
    """The paths of a model folder; this class is the on-disk format.

    Attributes:
        path: The folder itself.
    """

    path: Path

    @cached_property
    def config(self) -> Path:
        """Labels, task and Gatewise's own settings."""
        return self.path / "config.json"

    @cached_property
    def tokenizer(self) -> Path:
        """The dictionary."""
        return self.path / "tokenizer.json"

    @cached_property
    def tokenizer_config(self) -> Path:
        """What Hugging Face's tokenizer classes need beside the dictionary."""
        return self.path / "tokenizer_config.json"

    @cached_property
    def model(self) -> Path:
        """The network, 32-bit floats."""
        return self.path / "onnx" / "model.onnx"

    @cached_property
    def model_fp16(self) -> Path:
        """The same network, weights stored as 16-bit floats."""
        return self.path / "onnx" / "model_fp16.onnx"

    @cached_property
    def model_quantized(self) -> Path:
        """The same network, weights stored as 8-bit whole numbers."""
        return self.path / "onnx" / "model_quantized.onnx"

    @cached_property
    def text_model(self) -> Path:
        """The network with its dictionary: texts in, labels and scores out."""
        return self.path / "onnx" / "model_text.onnx"

    @cached_property
    def step(self) -> Path:
        """The network that reads one token at a time; only of models that read forward."""
        return self.path / "onnx" / "step.onnx"

    def model_in(self, precision: Precision) -> Path:
        """The network in a precision."""
        return {"fp32": self.model, "fp16": self.model_fp16, "int8": self.model_quantized}[
            precision
        ]

    @cached_property
    def metrics(self) -> Path:
        """The figures of the run, read by machines."""
        return self.path / "metrics.json"

    @cached_property
    def report(self) -> Path:
        """The same figures and more, with charts, read by people in a browser."""
        return self.path / "report.html"

    @cached_property
    def card(self) -> Path:
        """The model card, read by people."""
        return self.path / "README.md"

    @cached_property
    def manifest(self) -> Path:
        """The digest of every other file, and where the model came from."""
        return self.path / "manifest.json"

    def name_of(self, file: Path) -> str:
        """A file's name inside the folder, with forward slashes on every system."""
        return file.relative_to(self.path).as_posix()


def _known_format(data: object) -> object:
    # Checked first: of a newer format no other field can be expected to be as it is here.
    found = data.get("format") if isinstance(data, dict) else None
    if isinstance(found, int) and found != FORMAT:
        advice = (
            "upgrade with pip install --upgrade gatewise"
            if found > FORMAT
            else "train the model again"
        )
        raise ValueError(
            f"the folder has format {found}, this version of Gatewise reads format {FORMAT}: "
            f"{advice}"
        )
    return data


class TokenSettings(BaseModel):
    """How the model's texts are cut, for people and for `gatewise inspect`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: Literal["word", "subword", "character", "ngram"]
    max_length: Annotated[_Number, Field(ge=2)]
    keep: Literal["head", "tail", "both"] = "head"


class NetworkSettings(BaseModel):
    """The network's shape, for people and for `gatewise inspect`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell: Literal["gru", "lstm", "rnn"]
    direction: Literal["bidirectional", "forward", "backward"]
    layers: _Number
    units: _Number
    input: Literal["embedding", "one_hot"] = "embedding"
    embedding_size: _Number
    readout: Literal["last", "max", "mean", "max_mean", "attention"]
    ngrams: tuple[_Number, ...]
    buckets: _Number
    parameters: _Number


NONE_LABEL = "none of these"
"""What a text is given instead of a label, if nothing else is said."""


class RejectSettings(BaseModel):
    """When a text is given none of the labels.

    Attributes:
        threshold: The probability that the best label must reach.
        label: What a text is given whose best label does not.
        out_of_scope: The label of rows that have none of the model's labels, in the corpora that
            it was trained on; None if there were none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: Annotated[float, Field(gt=0, le=1)]
    label: Annotated[str, Field(min_length=1)]
    out_of_scope: str | None = None


class GatewiseSettings(BaseModel):
    """What only Gatewise reads of `config.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    tokens: TokenSettings
    network: NetworkSettings
    thresholds: tuple[Annotated[float, Field(gt=0, le=1)], ...] | None = None
    reject: RejectSettings | None = None

    _format_first = model_validator(mode="before")(_known_format)


class ModelConfig(BaseModel):
    """`config.json`. Keys that it does not know are other runtimes' business and are kept."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())

    model_type: str
    architectures: tuple[str, ...]
    problem_type: Literal["single_label_classification", "multi_label_classification"]
    id2label: dict[int, str]
    label2id: dict[str, int]
    vocab_size: _Number
    hidden_size: _Number
    num_hidden_layers: _Number
    max_position_embeddings: _Number
    pad_token_id: _Number
    gatewise: GatewiseSettings

    @model_validator(mode="after")
    def _labels_agree(self) -> "ModelConfig":
        if sorted(self.id2label) != list(range(len(self.id2label))):
            raise ValueError("the ids of id2label are not 0, 1, 2, …")
        if len(set(self.id2label.values())) < len(self.id2label):
            raise ValueError("id2label names a label twice")
        if {label: index for index, label in self.id2label.items()} != self.label2id:
            raise ValueError("id2label and label2id contradict each other")
        return self

    @model_validator(mode="after")
    def _thresholds_fit(self) -> "ModelConfig":
        thresholds = self.gatewise.thresholds
        if thresholds is None:
            return self
        if not self.multi_label:
            raise ValueError(f"gatewise.thresholds make no sense with {self.problem_type}")
        if len(thresholds) != len(self.id2label):
            raise ValueError(
                f"expected {len(self.id2label)} numbers in gatewise.thresholds, one for each "
                f"label, received {len(thresholds)}"
            )
        return self

    @model_validator(mode="after")
    def _reject_fits(self) -> "ModelConfig":
        reject = self.gatewise.reject
        if reject is None:
            return self
        if self.multi_label:
            raise ValueError(f"gatewise.reject makes no sense with {self.problem_type}")
        for key, name in (("label", reject.label), ("out_of_scope", reject.out_of_scope)):
            if name in self.label2id:
                raise ValueError(f"gatewise.reject.{key} is {name!r}, which is one of the labels")
        return self

    @property
    def multi_label(self) -> bool:
        """Whether a text may have several labels, or none."""
        return self.problem_type == "multi_label_classification"

    def label_thresholds(self) -> tuple[float, ...]:
        """The score from which on each label is given, in the order of the model's outputs.

        0.5 where `gatewise.thresholds` tells nothing.
        """
        return self.gatewise.thresholds or (0.5,) * len(self.id2label)

    def label_names(self) -> tuple[str, ...]:
        """The labels in the order of the model's outputs."""
        return tuple(self.id2label[index] for index in range(len(self.id2label)))


class ManifestFile(BaseModel):
    """What the manifest says of one file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: _Sha256
    bytes: Annotated[int, Field(ge=0)]


class Manifest(BaseModel):
    """`manifest.json`: digests, and what would be needed to train the same model again.

    Attributes:
        format: Version of the folder's layout.
        files: Every other file of the folder, by its name in it.
        seed: Seed of the training run.
        corpus_sha256: Digest of the training rows, in the order they were read.
        versions: Version of each package that shaped the model.
        opset: ONNX opset of the model.
        operators: ONNX operator types of the models, sorted.
        onnxruntime: The oldest onnxruntime that is known to load the models; None if it was not
            noted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    files: Annotated[dict[_Shown, ManifestFile], Field(max_length=1000)] = {}
    seed: _Number
    corpus_sha256: _Sha256
    versions: Annotated[dict[_Shown, _Shown], Field(max_length=100)]
    opset: _Number
    operators: tuple[_Shown, ...]
    onnxruntime: _Shown | None = None

    _format_first = model_validator(mode="before")(_known_format)
