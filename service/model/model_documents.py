"""The schemas of the JSON documents in a model folder, and the precisions of its networks.

`config.json` uses Hugging Face's field names, which Transformers.js, optimum and Text Embeddings
Inference read; Gatewise's own settings are under its key `gatewise`.
"""

from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from gatewise.vocab.corpus.columns import Task
from gatewise.vocab.corpus.sequences import MAX_FEATURES
from gatewise.vocab.tokenizer.encoding import MAX_WINDOWS
from gatewise.vocab.tokenizer.tokenizer import CLS, PAD, UNKNOWN

Precision = Literal["fp32", "fp16", "int8"]
"""How a network's weights are stored: 32-bit floats, 16-bit floats, or 8-bit integers."""

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
"""All precisions, the most exact first."""

DTYPES: dict[Precision, str] = {"fp32": "fp32", "fp16": "fp16", "int8": "q8"}
"""The name of each precision in Transformers.js."""

FORMAT = 2
"""The version of the folder's format that this code writes and reads.

Format 2 named the IDF weights of the network `ngrams.idf`; format 1 is refused.
"""

NONE_LABEL = "none of these"
"""The default label of a text that is rejected."""


def _require_printable(text: str) -> str:
    # A terminal would interpret control characters, and a long text would fill the screen.
    if not text.isprintable() or len(text) > 200:
        raise ValueError(f"expected at most 200 printable characters, found {text[:40]!r}")
    return text


MAX_EXAMPLE_CHARACTERS = 200
"""The most characters of an example text."""

_Printable = Annotated[str, AfterValidator(_require_printable)]
_Example = Annotated[str, Field(min_length=1, max_length=MAX_EXAMPLE_CHARACTERS)]
_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
# Every JSON reader represents integers up to this one exactly.
_Number = Annotated[int, Field(ge=0, le=2**53)]


def _check_format(data: object) -> object:
    # Checked first: the other fields of another format are unknown.
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
    """How texts are tokenized and truncated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # `vector` of a model of sequences of numbers: the vector of a step is its token.
    unit: Literal["word", "subword", "character", "ngram", "vector"]
    max_length: Annotated[_Number, Field(ge=2)]
    keep: Literal["head", "tail", "both"] = "head"
    # Windows of `max_length` tokens that are read of a text, whose logits are pooled.
    windows: Annotated[int, Field(ge=1, le=MAX_WINDOWS)] = 1
    # Numbers of a step of a sequence; 0 for texts.
    features: Annotated[int, Field(ge=0, le=MAX_FEATURES)] = 0

    @model_serializer(mode="wrap")
    def _only_if_any(self, serialize: SerializerFunctionWrapHandler) -> dict[str, object]:
        # A folder with one window is also read by versions that know no windows, or no sequences.
        document: dict[str, object] = serialize(self)
        if self.windows == 1:
            del document["windows"]
        if not self.features:
            del document["features"]
        return document

    @model_validator(mode="after")
    def _check_features(self) -> "TokenSettings":
        if (self.unit == "vector") != (self.features > 0):
            raise ValueError(
                f"expected features with the unit vector, and there alone, found {self.features} "
                f"with {self.unit}"
            )
        if self.features and self.windows > 1:
            raise ValueError("expected one window of a sequence of numbers")
        return self


class NetworkSettings(BaseModel):
    """The architecture of the network, for `gatewise inspect`."""

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


class RejectSettings(BaseModel):
    """When a text is rejected: when it gets none of the labels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: Annotated[float, Field(gt=0, le=1)]  # the probability that the best label must reach
    label: Annotated[str, Field(min_length=1)]  # of a rejected text
    # The label of out-of-scope rows in the training corpus; None if it had none.
    out_of_scope: str | None = None


_HalfWidth = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class IntervalSettings(BaseModel):
    """The interval around each predicted number, from split conformal prediction.

    `half_width` is the quantile of the absolute errors on the validation rows for which a new row
    is within it with at least this confidence (Lei et al., 2018,
    https://doi.org/10.1080/01621459.2017.1307116).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    confidence: Annotated[float, Field(gt=0, lt=1)]
    half_width: _HalfWidth | tuple[_HalfWidth, ...]  # of several numbers one each, in their order

    @classmethod
    def of(cls, confidence: float, half_widths: tuple[float, ...]) -> Self:
        """The interval with the half-width of each number."""
        is_one = len(half_widths) == 1
        return cls(confidence=confidence, half_width=half_widths[0] if is_one else half_widths)

    @property
    def half_widths(self) -> tuple[float, ...]:
        """The half-width of each number."""
        return self.half_width if isinstance(self.half_width, tuple) else (self.half_width,)


class CascadeSettings(BaseModel):
    """When the linear path alone classifies a text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: Annotated[float, Field(gt=0, le=1)]  # the probability that its best label must reach
    temperature: Annotated[float, Field(gt=0, le=100)]  # that its logits are divided by


class GatewiseSettings(BaseModel):
    """The key `gatewise` of `config.json`, which only Gatewise reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    tokens: TokenSettings
    network: NetworkSettings
    thresholds: tuple[Annotated[float, Field(gt=0, le=1)], ...] | None = None
    reject: RejectSettings | None = None
    interval: IntervalSettings | None = None
    cascade: CascadeSettings | None = None
    examples: dict[str, _Example] | None = None  # a training text of each label, by the label

    _check_format_first = model_validator(mode="before")(_check_format)

    @model_serializer(mode="wrap")
    def _only_if_any(self, serialize: SerializerFunctionWrapHandler) -> dict[str, object]:
        # A folder without them is also read by versions that know none of these.
        document: dict[str, object] = serialize(self)
        for name in ("cascade", "interval", "examples"):
            if getattr(self, name) is None:
                del document[name]
        return document


_TASKS: dict[str, Task] = {
    "single_label_classification": "single_label",
    "multi_label_classification": "multi_label",
    "regression": "regression",
}
PROBLEM_TYPES = {task: problem_type for problem_type, task in _TASKS.items()}
"""Hugging Face's name of each task."""


class ModelConfig(BaseModel):
    """`config.json`. Unknown keys are for other runtimes and are kept."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())

    model_type: str
    architectures: tuple[str, ...]
    problem_type: Literal["single_label_classification", "multi_label_classification", "regression"]
    id2label: dict[int, str]
    label2id: dict[str, int]
    vocab_size: _Number
    hidden_size: _Number
    num_hidden_layers: _Number
    max_position_embeddings: _Number
    pad_token_id: _Number
    gatewise: GatewiseSettings

    @model_validator(mode="after")
    def _check_labels(self) -> "ModelConfig":
        if sorted(self.id2label) != list(range(len(self.id2label))):
            raise ValueError("the ids of id2label are not 0, 1, 2, …")
        if len(set(self.id2label.values())) < len(self.id2label):
            raise ValueError("id2label names a label twice")
        if {label: index for index, label in self.id2label.items()} != self.label2id:
            raise ValueError("id2label and label2id contradict each other")
        return self

    @model_validator(mode="after")
    def _check_thresholds(self) -> "ModelConfig":
        thresholds = self.gatewise.thresholds
        if thresholds is None:
            return self
        if not self.multi_label:
            raise ValueError(
                "gatewise.thresholds: expected problem_type multi_label_classification, found "
                f"{self.problem_type}"
            )
        if len(thresholds) != len(self.id2label):
            raise ValueError(
                f"expected {len(self.id2label)} numbers in gatewise.thresholds, one for each "
                f"label, received {len(thresholds)}"
            )
        return self

    @model_validator(mode="after")
    def _check_reject(self) -> "ModelConfig":
        reject = self.gatewise.reject
        if reject is None:
            return self
        if self.task != "single_label":
            raise ValueError(
                "gatewise.reject: expected problem_type single_label_classification, found "
                f"{self.problem_type}"
            )
        for key, name in (("label", reject.label), ("out_of_scope", reject.out_of_scope)):
            if name in self.label2id:
                raise ValueError(f"gatewise.reject.{key} is {name!r}, which is one of the labels")
        return self

    @model_validator(mode="after")
    def _check_examples(self) -> "ModelConfig":
        if foreign := set(self.gatewise.examples or ()) - set(self.label2id):
            raise ValueError(f"gatewise.examples has {min(foreign)!r}, which is none of the labels")
        return self

    @model_validator(mode="after")
    def _check_numbers(self) -> "ModelConfig":
        is_regression = self.task == "regression"
        if is_regression and self.gatewise.cascade:
            raise ValueError(
                "gatewise.cascade: expected a problem_type with labels, found regression"
            )
        if self.gatewise.interval and not is_regression:
            raise ValueError(
                f"gatewise.interval: expected problem_type regression, found {self.problem_type}"
            )
        half_widths = self.gatewise.interval.half_widths if self.gatewise.interval else None
        if half_widths and len(half_widths) != len(self.id2label):
            raise ValueError(
                f"expected {len(self.id2label)} numbers in gatewise.interval.half_width, one for "
                f"each of id2label, received {len(half_widths)}"
            )
        return self

    @property
    def task(self) -> Task:
        """Whether a text has one label, any number of labels, or numbers."""
        return _TASKS[self.problem_type]

    @property
    def multi_label(self) -> bool:
        """Whether a text may have several labels, or none."""
        return self.task == "multi_label"

    def label_thresholds(self) -> tuple[float, ...]:
        """The threshold of each label, in the order of the model's outputs; 0.5 by default."""
        return self.gatewise.thresholds or (0.5,) * len(self.id2label)

    def label_names(self) -> tuple[str, ...]:
        """The labels in the order of the model's outputs."""
        return tuple(self.id2label[index] for index in range(len(self.id2label)))


class ManifestFile(BaseModel):
    """The manifest's entry of a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: _Sha256
    bytes: Annotated[int, Field(ge=0)]


class Manifest(BaseModel):
    """`manifest.json`: digests of the files, and what is needed to train the same model again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    # Every other file of the folder by name.
    files: Annotated[dict[_Printable, ManifestFile], Field(max_length=1000)] = {}
    seed: _Number  # seed of the training run
    corpus_sha256: _Sha256  # digest of the training rows, in the order they were read
    # Version of each package used in training.
    versions: Annotated[dict[_Printable, _Printable], Field(max_length=100)]
    opset: _Number  # ONNX opset of the networks
    operators: tuple[_Printable, ...]  # ONNX operator types of the networks, sorted
    # The oldest onnxruntime that loads the networks; None if unknown.
    onnxruntime: _Printable | None = None

    _check_format_first = model_validator(mode="before")(_check_format)


def tokenizer_config(config: ModelConfig) -> dict[str, object]:
    """`tokenizer_config.json`: what Hugging Face's tokenizer classes need."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config.max_position_embeddings,
        "pad_token": PAD,
        "unk_token": UNKNOWN,
        "cls_token": CLS,
        "padding_side": "right",
        # Hugging Face has no value for keeping both ends.
        "truncation_side": "left" if config.gatewise.tokens.keep == "tail" else "right",
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
    }
