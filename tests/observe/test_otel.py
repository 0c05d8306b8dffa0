"""The OpenTelemetry exporter: the same figures through a real SDK, and events on spans without keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.util.types import AnyValue

from tests.observe.figures import recorder, snapshot
from tiercel import AsyncCache, Cache
from tiercel._process import Process
from tiercel.matrix import Matrix
from tiercel.observe.families import FAMILIES
from tiercel.observe.otel import SpanObserver, register_metrics, spans_of


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
    silent |= {"tiercel.hedged_reads", "tiercel.hedged_reads_won"}
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


MATRIX = """
[cache]
namespace = "spans"

[regions.page]
tiers = ["local", "redis"]
ttl = "1m"
"""


async def test_slow_operations_are_spans_that_hold_what_the_loader_traces_and_no_key() -> None:
    exporter = Spans()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")

    async def load() -> str:
        with tracer.start_as_current_span("query"):
            return "row"

    async with AsyncCache(Matrix.from_text(MATRIX, base=Matrix()), process=Process()) as cache:
        page = cache.tenant("acme").region("page")
        assert await page.get_or_load("untraced-canary", load) == "row"
        cache.recorder.spans = spans_of(tracer)
        for _ in range(3):
            assert await page.get_or_load("canary-key", load) == "row"
        await page.expire("canary-key")
    provider.shutdown()
    names = [span.name for span in exporter.ended]
    assert names == ["query", "query", "tiercel.load", "tiercel.invalidate"]
    _, query, loaded, fallen = exporter.ended
    assert query.parent is not None
    assert loaded.context is not None
    assert query.parent.span_id == loaded.context.span_id
    assert [dict(span.attributes or {}) for span in (loaded, fallen)] == [{"tiercel.region": "page"}] * 2
    assert "canary" not in "".join(span.to_json() for span in exporter.ended)


def test_the_blocking_cache_makes_the_same_spans() -> None:
    exporter = Spans()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with Cache(Matrix.from_text(MATRIX, base=Matrix()), process=Process()) as cache:
        cache.recorder.spans = spans_of(provider.get_tracer("test"))
        page = cache.tenant("acme").region("page")
        assert page.get_or_load("canary-key", lambda: "row") == "row"
        page.expire("canary-key")
    provider.shutdown()
    assert [span.name for span in exporter.ended] == ["tiercel.load", "tiercel.invalidate"]
