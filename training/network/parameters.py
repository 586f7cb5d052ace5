"""How many numbers each layer of a network holds, by the formulas, before any layer is built.

A unit of a recurrent layer has a weight for each feature it is given, one for each unit's state
and one for its bias; a cell is one such layer for each of its gates. Knows the config and the
sizes that follow from the corpus; does not import TensorFlow, so that a network that would be too
large is refused at once.
"""

from dataclasses import dataclass

from gatewise.training.config.config import ConfigError
from gatewise.training.config.network_section import Cell, NetworkConfig
from gatewise.training.config.tokens_section import TokensConfig
from gatewise.training.network.shape import Shape
from gatewise.training.network.streaming import obstacle

GATES: dict[Cell, int] = {"gru": 3, "lstm": 4, "rnn": 1}
"""Kernels that a cell has side by side, in each direction."""

LIMIT_BYTES = 2_000_000_000
"""The weights that fit into a model folder with room for the rest: its reader ends at 2 GiB."""

_BYTES = 4 + 2 + 1
"""Of a weight, in the three precisions that a folder has."""

_STEP_BYTES = 4
"""Of a weight, in the file that a folder has beside them if its network reads token by token."""


@dataclass(frozen=True)
class LayerParameters:
    """What one layer holds.

    Attributes:
        layer: The layer's name in the network.
        formula: How its numbers are counted, such as `2 × 3 × 64 × (64 + 64 + 2)`.
        count: What the formula comes to.
        trainable: Whether training changes them.
    """

    layer: str
    formula: str
    count: int
    trainable: bool = True


def parameters(config: NetworkConfig, shape: Shape) -> tuple[LayerParameters, ...]:
    """The layers of a network that hold parameters as it is exported, in the order of its weights.

    What spelling adds while training is not counted: it is added to other layers' numbers.

    Args:
        config: The network's settings.
        shape: Sizes that follow from the corpus.
    """
    layers = []
    features = shape.vocab_size
    if config.input == "embedding":
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
    """Refuses a network that no model folder could hold, before it is trained.

    Args:
        config: The network's settings.
        tokens: The settings of its tokens.
        shape: Sizes that follow from the corpus.

    Raises:
        ConfigError: If its parameters take more than `LIMIT_BYTES` in all files together.
    """
    layers = parameters(config, shape)
    streams = obstacle(config, tokens, shape.ngrams) is None
    needed = (_BYTES + _STEP_BYTES * streams) * sum(layer.count for layer in layers)
    if needed <= LIMIT_BYTES:
        return
    largest = max(layers, key=lambda layer: layer.count)
    settings = {"ngrams": "network.buckets or network.ngrams", "embedding": "tokens.vocab_size"}
    advice = settings.get(largest.layer, "network.units")
    if largest.layer == "recurrent_0" and config.input == "one_hot":
        advice = "tokens.vocab_size or network.units"
    raise ConfigError(
        f"the network would take {needed / 1e9:.1f} GB in all its files, more than the "
        f"{LIMIT_BYTES / 1e9:g} GB that a model folder may: {largest.formula} = "
        f"{largest.count:,} parameters are in the layer {largest.layer!r}; lower {advice}"
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
    # Beside its weights, each row has how much its n-gram tells, which is counted and not trained.
    formula, count = f"{rows} × ({table.width:,} + 1)", table.rows * (table.width + 1)
    if table.width != shape.classes:
        formula += f" + {table.width:,} × {shape.classes:,}"
        count += table.width * shape.classes
    return LayerParameters("ngrams", formula, count)
