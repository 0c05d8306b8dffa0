"""The OpenTelemetry exporter: the same figures through a real SDK, and events on spans without keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.util.types import AnyValue

from tests.observe.figures import recorder, snapshot
from tiercel.observe.families import FAMILIES
from tiercel.observe.otel import SpanObserver, register_metrics


class Spans(SpanExporter):
    """Keeps what is exported."""

    def __init__(self) -> None:
        self.ended: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.ended += spans
        return SpanExportResult.SUCCESS


def _labels(attributes: Mapping[str, AnyValue] | None) -> frozenset[tuple[str, str]]:
    return frozenset((name, str(value)) for name, value in (attributes or {}).items())


def _points() -> dict[str, dict[frozenset[tuple[str, str]], float]]:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    taken: list[int] = []

    def take() -> object:
        taken.append(1)
        return snapshot(gauges={"backplane_lag": 0.5})

    register_metrics(provider.get_meter("test"), take)  # type: ignore[arg-type]
    read = reader.get_metrics_data()
    provider.shutdown()
    assert read is not None
    assert len(taken) == 1
    return {
        metric.name: {_labels(point.attributes): point.value for point in metric.data.data_points}  # type: ignore[union-attr]
        for resource in read.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def test_one_collection_exports_the_catalogue_from_one_snapshot() -> None:
    points = _points()
    assert points["tiercel.reads"][frozenset({("region", "product"), ("outcome", "hit")})] == 900
    assert points["tiercel.backplane_lag_seconds"][frozenset()] == 0.5
    response = frozenset({("region", "product"), ("tier", "redis")})
    assert points["tiercel.tier_response_seconds.count"][response] == 300
    assert 0.0003 < points["tiercel.tier_response_seconds.p99"][response] < 0.0005
    silent = {"tiercel.purge_budget_used_ratio", "tiercel.inconsistency_ratio", "tiercel.gutter_parts"}
    silent |= {"tiercel.changes_lag_seconds", "tiercel.changes_retained_bytes"}
    assert {family.name.replace("_", ".", 1) for family in FAMILIES} - silent <= points.keys()


def test_events_go_to_the_current_span_without_the_key() -> None:
    exporter = Spans()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    counters = recorder()
    counters.observers.append(SpanObserver())
    with provider.get_tracer("test").start_as_current_span("request"):
        counters.event("fill_refused", region="session", tenant="acme", key="canary-key", tier="redis", why="tombstone")
    counters.event("outside")
    provider.shutdown()
    (event,) = exporter.ended[0].events
    assert event.name == "tiercel.fill_refused"
    assert dict(event.attributes or {}) == {"region": "session", "tier": "redis", "why": "tombstone"}
