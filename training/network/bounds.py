"""Whether a network that is about to be trained will be read again, once it is in a model folder.

A folder's reader refuses networks that ask for too much memory or work. What it would say is asked
of it here, before the first update, by the network's own files as they are before training. Knows
no bound itself.
"""

from collections.abc import Sequence

import keras
from gatewise.service.model.errors import NetworkError
from gatewise.service.model.model_config import PRECISIONS
from gatewise.service.model.onnx_validation import demands, onnx_parser
from gatewise.service.model.onnx_validation.parsed_network import ParsedNetwork
from gatewise.training.config.config import Config, ConfigError
from gatewise.training.onnx_export.keras_to_onnx import to_onnx
from gatewise.training.onnx_export.precision import stored_in


def check(model: keras.Model, config: Config, classes: int) -> None:
    """Refuses a network whose model folder could not be loaded.

    Args:
        model: From `gatewise.training.network.build.build`, trained or not.
        config: Every setting of the run.
        classes: The logits of a text.

    Raises:
        ConfigError: If it could not; it says which setting to lower.
    """
    lowered = to_onnx(model, config.network)
    networks = [
        onnx_parser.read(stored_in(precision, lowered).SerializeToString())
        for precision in PRECISIONS
    ]
    longest = config.tokens.max_length
    try:
        _ask(networks, classes, longest)
    except NetworkError as error:
        sizes = f"network.units={config.network.units}, network.layers={config.network.layers}"
        advice = "lower network.units or network.layers"
        most = _longest(networks, classes, longest)
        if most:
            sizes += f" and tokens.max_length={longest}"
            advice = f"lower tokens.max_length to {most}, or network.units"
        raise ConfigError(
            f"{sizes}: no model folder may hold so large a network: {error}; {advice}"
        ) from None


def _ask(networks: Sequence[ParsedNetwork], classes: int, max_length: int) -> None:
    for network in networks:
        demands.check(network, classes, max_length)


def _longest(networks: Sequence[ParsedNetwork], classes: int, too_long: int) -> int:
    """The most tokens of a text that would be allowed; 0 if no text would be short enough."""
    allowed, refused = 0, too_long
    while refused - allowed > 1:
        middle = (allowed + refused) // 2
        try:
            _ask(networks, classes, middle)
        except NetworkError:
            refused = middle
        else:
            allowed = middle
    return allowed
