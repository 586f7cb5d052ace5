"""Whether the settings of a run fit the rows of its corpus."""

from gatewise.training.config.config import Config, ConfigError, validated
from gatewise.training.config.tokens_section import TokensConfig
from gatewise.vocab.corpus.columns import FoundColumns

_READ_OF_SEQUENCES = {"unit", "max_length", "keep"}
OF_TEXTS = (
    *(f"tokens.{name}" for name in TokensConfig.model_fields if name not in _READ_OF_SEQUENCES),
    *("network.input", "network.embedding_size", "network.vectors", "network.train_vectors"),
    *("network.ngrams", "network.buckets", "network.ngram_width", "network.spelling"),
    *("network.word_dropout", "network.embedding_dropout", "training.paths"),
    *("training.linear_path", "corpus.similarity"),
)
"""Settings that mean nothing for sequences of numbers."""


def check_settings(config: Config, columns: FoundColumns) -> None:
    """Refuses settings that make no sense for the task, or for what the rows are.

    Raises:
        ConfigError: If there is one.
    """
    _check_task(config, columns)
    _check_input(config, columns)


def _check_task(config: Config, columns: FoundColumns) -> None:
    """Refuses settings that make no sense for the task."""
    training = config.training
    if columns.task == "regression":
        unusable = {
            "reject": config.reject.is_wanted,
            "teacher": config.teacher.is_wanted,
            "corpus.probability_prefix": config.corpus.probability_prefix is not None,
            "training.class_weights": training.class_weights == "balanced",
            "training.sampling": training.sampling == "balanced",
            "training.label_smoothing": training.label_smoothing > 0,
            "training.metric": training.metric not in ("auto", "rmse", "loss"),
        }
        if name := next((name for name, is_set in unusable.items() if is_set), None):
            raise ConfigError(
                f"{name}: expected a corpus with labels, received one with numbers to predict: "
                "leave the setting out"
            )
        return
    for name in ("metric", "loss"):
        if getattr(training, name) in ("rmse", "huber"):
            raise ConfigError(
                f"training.{name}={getattr(training, name)}: expected a corpus with numbers to "
                "predict, received one with labels: leave the setting out"
            )
    if config.reject.is_wanted:
        _check_reject(config, columns)
    if columns.task == "multi_label" and training.sampling == "balanced":
        raise ConfigError(
            "training.sampling=balanced: expected a task with one label a text, received one with "
            "several: set training.class_weights=balanced instead"
        )


def _check_input(config: Config, columns: FoundColumns) -> None:
    """Refuses settings that mean nothing for what the rows are."""
    if columns.input == "text":
        for name in ("tokens.unit=vector", "sequence.scale=none"):
            place, _, value = name.partition("=")
            if config.value_of(place) == value:
                raise ConfigError(
                    f"{name}: expected a corpus of sequences of numbers, received one of texts: "
                    "leave the setting out"
                )
        return
    default = validated({"network": {"size": config.network.size}})
    unusable = [name for name in OF_TEXTS if config.value_of(name) != default.value_of(name)]
    if config.tokens.unit not in ("auto", "vector"):
        unusable.append("tokens.unit")
    if config.teacher.is_wanted:
        unusable.append("teacher")
    if unusable:
        raise ConfigError(
            f"{unusable[0]}: expected a corpus of texts, received one of sequences of numbers: "
            "leave the setting out"
        )


def _check_reject(config: Config, columns: FoundColumns) -> None:
    if columns.task == "multi_label":
        raise ConfigError(
            "the settings of reject: expected a task with one label a text, received one with "
            "several, where a text may have none: leave reject out"
        )
    if config.reject.out_of_scope is None:
        return
    if columns.labels:
        raise ConfigError(
            f"reject.out_of_scope={config.reject.out_of_scope}: expected a corpus with a column of "
            "labels, received one of soft labels, where no row is out of scope: leave "
            "corpus.probability_prefix out, or set reject.target_precision instead"
        )
    if config.training.sampling == "balanced":
        raise ConfigError(
            f"reject.out_of_scope={config.reject.out_of_scope} and training.sampling=balanced: "
            "expected one of them, because rows without a label cannot be balanced: set "
            "training.class_weights=balanced instead"
        )
