"""The number of parameters of each layer, computed from the settings before anything is built.

A recurrent unit has a weight for each input feature, one for each unit's state and one bias; a cell
has such units for each of its gates. Does not import TensorFlow, so that a network that is too
large is refused at once.
"""

from dataclasses import dataclass

from gatewise.training.config.config import ConfigError
from gatewise.training.config.network_section import Cell, NetworkConfig
from gatewise.training.config.tokens_section import TokensConfig
from gatewise.training.network.shape import Shape
from gatewise.training.network.streaming import streaming_obstacle

GATES: dict[Cell, int] = {"gru": 3, "lstm": 4, "rnn": 1}
"""Gates of a cell: how many kernels it has in each direction."""

MAX_WEIGHT_BYTES = 2_000_000_000
"""Maximum size of the weights in a model folder, which is read up to 2 GiB."""

_BYTES_PER_WEIGHT = 4 + 2 + 1
"""Bytes of a weight in the files of the three precisions together."""

_STEP_BYTES_PER_WEIGHT = 4
"""Bytes of a weight in the step model, which a folder has if its network can be streamed."""


@dataclass(frozen=True)
class LayerParameters:
    """The parameters of one layer, and how they are counted: `2 × 3 × 64 × (64 + 64 + 2)`."""

    layer: str
    formula: str
    count: int
    trainable: bool = True


def parameters(config: NetworkConfig, shape: Shape) -> tuple[LayerParameters, ...]:
    """The layers of the exported network that have parameters, in the order of their weights.

    Character n-gram embeddings are not counted: the export adds them to other layers' tables.
    """
    layers = []
    features = shape.features or shape.vocab_size
    if config.input == "embedding" and not shape.features:
        features = config.embedding_size
        layers.append(
            LayerParameters(
                "embedding",
                f"{shape.vocab_size:,} × {features:,}",
                shape.vocab_size * features,
                trainable=config.trains_vectors,
            )
        )
    directions = 2 if config.direction == "bidirectional" else 1
    for number in range(config.layers):
        layers.append(_recurrent(f"recurrent_{number}", config, features, directions))
        features = config.units * directions
    if config.readout == "attention":
        units = config.units
        layers.append(
            LayerParameters(
                "readout",
                f"({features:,} + 1) × {units:,} + {units:,}",
                (features + 1) * units + units,
            )
        )
    features *= 2 if config.readout == "max_mean" else 1
    layers.append(
        LayerParameters(
            "classifier",
            f"({features:,} + 1) × {shape.classes:,}",
            (features + 1) * shape.classes,
        )
    )
    if shape.ngrams:
        layers.append(_ngrams(shape))
    return tuple(layers)


def check_size(config: NetworkConfig, tokens: TokensConfig, shape: Shape) -> None:
    """Refuses a network that is too large for a model folder, before it is trained.

    Raises:
        ConfigError: If the weights of all files together exceed `MAX_WEIGHT_BYTES`.
    """
    layers = parameters(config, shape)
    streams = streaming_obstacle(config, tokens, shape.ngrams) is None
    needed = (_BYTES_PER_WEIGHT + _STEP_BYTES_PER_WEIGHT * streams) * sum(
        layer.count for layer in layers
    )
    if needed <= MAX_WEIGHT_BYTES:
        return
    largest = max(layers, key=lambda layer: layer.count)
    settings = {"ngrams": "network.buckets or network.ngrams", "embedding": "tokens.vocab_size"}
    advice = settings.get(largest.layer, "network.units")
    if largest.layer == "recurrent_0" and config.input == "one_hot" and not shape.features:
        advice = "tokens.vocab_size or network.units"
    raise ConfigError(
        f"the weights of the network would take {needed / 1e9:.1f} GB in all files, more than the "
        f"limit of {MAX_WEIGHT_BYTES / 1e9:g} GB: the layer {largest.layer!r} has "
        f"{largest.formula} = {largest.count:,} parameters; lower {advice}"
    )


def _recurrent(name: str, config: NetworkConfig, features: int, directions: int) -> LayerParameters:
    gates, units = GATES[config.cell], config.units
    biases = 2 if config.cell == "gru" and config.reset_after else 1
    factors = [f"{factor}" for factor in (directions, gates) if factor > 1]
    formula = " × ".join([*factors, f"{units:,}", f"({units:,} + {features:,} + {biases})"])
    return LayerParameters(name, formula, directions * gates * units * (units + features + biases))


def _ngrams(shape: Shape) -> LayerParameters:
    table = shape.table()
    rows = f"{shape.vocab_size:,}"
    if table.hashed:
        buckets = f"{table.buckets:,}"
        buckets = buckets if table.hashed == 1 else f"{table.hashed} × {buckets}"
        rows = f"({rows} + {buckets})"
    # Each row has its weights and an IDF, which is counted and not trained.
    formula, count = f"{rows} × ({table.width:,} + 1)", table.rows * (table.width + 1)
    if table.width != shape.classes:
        formula += f" + {table.width:,} × {shape.classes:,}"
        count += table.width * shape.classes
    return LayerParameters("ngrams", formula, count)
