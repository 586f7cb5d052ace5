"""Which networks can read a text or a sequence as it arrives, token by token, by their settings.

Does not import TensorFlow.
"""

from collections.abc import Sequence

from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.config.tokens_section import TokensConfig

MAX_NGRAM_ROWS = 65_536
"""Maximum n-gram rows in the state of a stream: each new token is compared with all of them."""


def streaming_obstacle(
    network: NetworkConfig, tokens: TokensConfig, ngrams: Sequence[int]
) -> str | None:
    """Why a network with such n-gram lengths cannot read a text token by token; None if it can."""
    if network.direction != "forward":
        return f"network.direction={network.direction}: it reads texts from their end"
    if tokens.unit == "ngram":
        return "tokens.unit=ngram: the phrases of a text depend on its end"
    if tokens.windows > 1:
        return f"tokens.windows={tokens.windows}: a stream is read as one window"
    if (rows := len(ngrams) * tokens.max_length) > MAX_NGRAM_ROWS:
        return f"a text may have {rows:,} n-grams, more than the limit of {MAX_NGRAM_ROWS:,}"
    return None
