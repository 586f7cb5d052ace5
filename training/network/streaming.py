"""Which networks can classify a text as it comes, one token at a time.

The settings say it: TensorFlow is not imported.
"""

from collections.abc import Sequence

from gatewise.training.config.network_section import NetworkConfig
from gatewise.training.config.tokens_section import TokensConfig

MOST_ROWS = 65_536
"""Rows of n-grams that a state keeps at the most: each token is compared with all of them."""


def obstacle(network: NetworkConfig, tokens: TokensConfig, ngrams: Sequence[int]) -> str | None:
    """Why a network cannot be asked token by token; None if it can.

    Args:
        network: Its settings.
        tokens: The settings of its tokens.
        ngrams: The lengths of its n-grams.
    """
    if network.direction != "forward":
        return f"network.direction={network.direction}: it reads texts from their end"
    if tokens.unit == "ngram":
        return "tokens.unit=ngram: which phrases a text is cut into depends on its end"
    if (rows := len(ngrams) * tokens.max_length) > MOST_ROWS:
        return f"a text may have {rows:,} n-grams, of which {MOST_ROWS:,} can be kept"
    return None
