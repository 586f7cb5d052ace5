"""The rate limit of each API key: a token bucket for each name."""

import time
from collections.abc import Callable

from gatewise.service.serving.http.auth.api_keys import Sender


class RateLimit:
    """Lets each key send a number of requests a second, and as many at once.

    Keys of one name, as while a key is rotated, share their limit.
    """

    def __init__(
        self, requests_per_second: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._requests_per_second = requests_per_second  # 0 for any number
        self._clock = clock
        # Of each name: how many requests it may send at once, and when that was so.
        self._buckets: dict[str, tuple[float, float]] = {}

    def seconds_to_wait(self, sender: Sender) -> float:
        """Takes a request into account, and returns 0; or the seconds until one is admitted.

        >>> limit = RateLimit(2, clock=lambda: 0.0)
        >>> [limit.seconds_to_wait(Sender("web", "predict")) for _ in range(3)]
        [0.0, 0.0, 0.5]
        """
        rate = sender.requests_per_second or self._requests_per_second
        if not rate or not sender.name:
            return 0.0
        now, burst = self._clock(), max(1.0, rate)
        left, since = self._buckets.get(sender.name, (burst, now))
        left = min(burst, left + rate * (now - since))
        if left < 1:
            return (1 - left) / rate
        self._buckets[sender.name] = (left - 1, now)
        return 0.0
