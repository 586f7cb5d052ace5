"""Merges the metrics of several replicas into one exposition, with the label `replica`."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Metric, exposition
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

LABEL = "replica"


class _Replicas(Collector):
    def __init__(self, expositions: Mapping[str, bytes]) -> None:
        self._expositions = expositions

    def collect(self) -> Iterable[Metric]:
        """Returns every metric once, with the samples of all replicas."""
        families: dict[str, Metric] = {}
        for replica, content in self._expositions.items():
            for metric in text_string_to_metric_families(content.decode()):
                family = families.setdefault(
                    metric.name, Metric(metric.name, metric.documentation, metric.type)
                )
                for sample in metric.samples:
                    labels = {**sample.labels, LABEL: replica}
                    family.samples.append(sample._replace(labels=labels))
        return families.values()


def merge(expositions: Mapping[str, bytes]) -> bytes:
    """Merges metrics in Prometheus's text format.

    Args:
        expositions: The metrics of each replica, by its name.
    """
    registry = CollectorRegistry()
    registry.register(_Replicas(expositions))
    return exposition.generate_latest(registry)
