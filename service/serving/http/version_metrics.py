"""What is counted of one version of a model, as its threads run texts.

Knows which figures there are; their names and labels are in
`gatewise.service.serving.http.metrics`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gatewise.service.serving.batching import BatchStats
from prometheus_client import Counter, Histogram


@dataclass(frozen=True, slots=True)
class VersionMetrics:
    """The figures of one version of a model, counted from the threads that run it."""

    counts: Mapping[str, Counter]
    refusals: Callable[[str], Counter]
    queue_seconds: Histogram
    batch_texts: Histogram
    best_score: Histogram

    def observe_batch(self, done: BatchStats) -> None:
        """Counts what was run at a time."""
        self.batch_texts.observe(len(done.texts))
        for seconds in done.waited:
            self.queue_seconds.observe(seconds)
        for score in done.best.tolist():
            self.best_score.observe(score)
        figures = {
            "tokens": sum(len(text.ids) for text in done.texts),
            "padding_tokens": done.padding,
            "unknown_tokens": done.unknown,
            "truncated_texts": sum(text.truncated for text in done.texts),
            "none_texts": done.none,
        }
        for name, figure in figures.items():
            if figure:
                self.counts[name].inc(figure)

    def count_refused(self, reason: str, jobs: int) -> None:
        """Counts requests whose texts were not answered."""
        self.refusals(reason).inc(jobs)
