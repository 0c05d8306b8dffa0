"""
The OpenTelemetry exporter: the same catalogue as observable instruments, rare events on the current span, and spans.

OpenTelemetry has no observable histogram, so response times go out as ``….p50`` and ``….p99`` gauges and a
``….count`` counter; names use dots where Prometheus uses underscores. Tracing is off until asked for: events are
added to the caller's span only where `SpanObserver` was added to the recorder, and loads, store writes and
invalidations are spans only where `spans_of` was given to it. Neither ever carries a key.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import partial

from opentelemetry import trace
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from tiercel._core.histogram import Histogram
from tiercel.observe.families import FAMILIES, HISTOGRAMS, Family, HistogramFamily
from tiercel.observe.recorder import Event
from tiercel.observe.snapshot import Snapshot

__all__ = ["SpanObserver", "register_metrics", "spans_of"]

_SHARE_S = 1.0


def register_metrics(meter: Meter, take: Callable[[], Snapshot]) -> None:
    """
    Register every family of the catalogue with *meter*.

    Args:
        meter: From the application's meter provider.
        take: Returns a fresh snapshot; called at most once a second, on the exporter's thread.
    """
    snapshots = _SharedSnapshot(take)
    for family in FAMILIES:
        create = meter.create_observable_counter if family.kind == "counter" else meter.create_observable_gauge
        create(_dotted(family.name), callbacks=[_plain(family, snapshots)], description=family.meaning)
    for histogram in HISTOGRAMS:
        _register_histogram(meter, histogram, snapshots)


class SpanObserver:
    """An observer that adds each event to the span that is current where it happened."""

    def on_event(self, event: Event) -> None:
        """Add *event* to the current span; nothing happens where no span is recording."""
        span = trace.get_current_span()
        if span.is_recording():
            attributes = {"region": event.region, "tier": event.tier, **event.fields}
            span.add_event(f"tiercel.{event.name}", {name: value for name, value in attributes.items() if value != ""})


def spans_of(tracer: trace.Tracer) -> Callable[[str, str], AbstractContextManager[object]]:
    """
    Return what makes a span of *tracer* for each slow operation.

    Turn it on with ``cache.recorder.spans = spans_of(tracer)``. Spans are called ``tiercel.load``,
    ``tiercel.write`` and ``tiercel.invalidate``; what the application's loader traces stands inside. Hits have
    none: the counters tell of them, and a span costs more than a hit.
    """

    def span(operation: str, region: str) -> AbstractContextManager[object]:
        attributes = {"tiercel.region": region} if region else {}
        return tracer.start_as_current_span(f"tiercel.{operation}", attributes=attributes)

    return span


class _SharedSnapshot:
    """One snapshot for all instruments of a collection, which come one after the other within moments."""

    def __init__(self, take: Callable[[], Snapshot]) -> None:
        self._take = take
        self._lock = threading.Lock()
        self._taken: Snapshot | None = None
        self._taken_at_s = 0.0

    def __call__(self) -> Snapshot:
        with self._lock:
            now_s = time.monotonic()
            if self._taken is None or now_s - self._taken_at_s > _SHARE_S:
                self._taken, self._taken_at_s = self._take(), now_s
            return self._taken


def _plain(family: Family, take: Callable[[], Snapshot]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_: CallbackOptions) -> Iterator[Observation]:
        for labels, value in family.samples(take()):
            yield Observation(value, dict(zip(family.labels, labels, strict=True)))

    return observe


def _register_histogram(meter: Meter, family: HistogramFamily, take: Callable[[], Snapshot]) -> None:
    def observing(read: Callable[[Histogram], float]) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_: CallbackOptions) -> Iterator[Observation]:
            for labels, histogram in family.histograms(take()):
                yield Observation(read(histogram), dict(zip(family.labels, labels, strict=True)))

        return observe

    name = _dotted(family.name)
    meter.create_observable_counter(f"{name}.count", callbacks=[observing(lambda one: one.count)])
    for share in (0.5, 0.99):
        callback = observing(partial(Histogram.quantile, share=share))
        meter.create_observable_gauge(f"{name}.p{share * 100:.0f}", callbacks=[callback], unit="s")


def _dotted(name: str) -> str:
    return name.replace("tiercel_", "tiercel.", 1)
