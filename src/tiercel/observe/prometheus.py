"""
The Prometheus exporter: a registry of its own with one collector that turns a snapshot into metric families at each
scrape.

Nothing is updated between scrapes, so that exporting costs the hot path nothing. The metrics of other libraries are
not in this registry; a service that exports both concatenates, or registers `SnapshotCollector` in its own registry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tiercel._core.histogram import Histogram
from tiercel.observe.families import BOUND_EXPONENTS, FAMILIES, HISTOGRAMS, Family, HistogramFamily
from tiercel.observe.snapshot import Snapshot

__all__ = ["CONTENT_TYPE", "SnapshotCollector", "exposition", "registry_of"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class SnapshotCollector(Collector):
    """
    Collects the catalogue from a snapshot taken at scrape time.

    Args:
        take: Returns a fresh snapshot; called once a scrape, on the scraper's thread.
    """

    def __init__(self, take: Callable[[], Snapshot]) -> None:
        self._take = take

    def collect(self) -> Iterable[Metric]:
        """Return every family of the catalogue that has samples."""
        snapshot = self._take()
        yield from (_plain(family, snapshot) for family in FAMILIES)
        yield from (_histogram(family, snapshot) for family in HISTOGRAMS)

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering takes no snapshot."""
        return ()


def registry_of(take: Callable[[], Snapshot]) -> CollectorRegistry:
    """Return a registry that holds one `SnapshotCollector` and nothing else."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SnapshotCollector(take))
    return registry


def exposition(snapshot: Snapshot) -> bytes:
    """Return one snapshot in Prometheus's text format, to be sent with `CONTENT_TYPE`."""
    return generate_latest(registry_of(lambda: snapshot))


def _plain(family: Family, snapshot: Snapshot) -> Metric:
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric: CounterMetricFamily | GaugeMetricFamily = kind(family.name, family.meaning, labels=family.labels)
    for labels, value in family.samples(snapshot):
        metric.add_metric(labels, value)
    return metric


def _histogram(family: HistogramFamily, snapshot: Snapshot) -> Metric:
    metric = HistogramMetricFamily(family.name, family.meaning, labels=family.labels)
    for labels, histogram in family.histograms(snapshot):
        metric.add_metric(labels, list(_buckets(histogram)), sum_value=histogram.total)
    return metric


def _buckets(histogram: Histogram) -> Iterator[tuple[str, float]]:
    for bound, count in histogram.cumulative(BOUND_EXPONENTS):
        yield repr(bound), count
    yield "+Inf", histogram.count
