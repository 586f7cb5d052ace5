import pytest

from gatewise.training.config import config as configs
from gatewise.training.network.streaming import MAX_NGRAM_ROWS, streaming_obstacle


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        (["network.direction=bidirectional"], "bidirectional"),
        (["network.direction=backward"], "backward"),
        (["network.direction=forward", "tokens.unit=ngram"], "phrases"),
        (["network.direction=forward", "tokens.windows=2"], "tokens.windows=2"),
        (["network.direction=forward", "tokens.max_length=100000"], "200,000"),
        (["network.direction=forward", f"tokens.max_length={MAX_NGRAM_ROWS // 2}"], None),
        (["network.direction=forward", "network.readout=attention"], None),
        (["network.direction=forward", "tokens.unit=vector"], None),
    ],
)
def test_networks_that_cannot_be_streamed(assignments, expected):
    config = configs.load(assignments=assignments)
    reason = streaming_obstacle(config.network, config.tokens, (1, 2))
    assert (expected is None) == (reason is None)
    assert expected is None or expected in reason
