"""The figures of several processes, told by one of them.

Each process tells its own as `gatewise.service.serving.http.metrics` writes them; here they stand
together, and the label `replica` says whose they are. Knows nothing of how they are fetched.
"""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Metric, exposition
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

LABEL = "replica"


class _Told(Collector):
    """What processes have told of themselves, by their names."""

    def __init__(self, told: Mapping[str, bytes]) -> None:
        self._told = told

    def collect(self) -> Iterable[Metric]:
        """Every metric once, with the samples of all."""
        families: dict[str, Metric] = {}
        for replica, figures in self._told.items():
            for metric in text_string_to_metric_families(figures.decode()):
                family = families.setdefault(
                    metric.name, Metric(metric.name, metric.documentation, metric.type)
                )
                for sample in metric.samples:
                    labels = {**sample.labels, LABEL: replica}
                    family.samples.append(sample._replace(labels=labels))
        return families.values()


def together(told: Mapping[str, bytes]) -> bytes:
    """The figures of all, in Prometheus's text format.

    Args:
        told: The figures of each in the same format, by the name that the label shall have.
    """
    registry = CollectorRegistry()
    registry.register(_Told(told))
    return exposition.generate_latest(registry)
