"""The Prometheus exposition: valid, complete, bounded, and scraped by a real Prometheus."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.observe.figures import recorder, snapshot
from tests.rig.prometheus import PrometheusServer
from tiercel.observe import Recorder
from tiercel.observe.families import FAMILIES, HISTOGRAMS
from tiercel.observe.prometheus import CONTENT_TYPE, exposition, registry_of

PROMTOOL = shutil.which("promtool")
GAUGES = {"backplane_lag": 0.01, "purge_budget_used": 0.5, "inconsistency": 0.0}
GAUGES |= {"changes_lag": 0.02, "changes_retained": 4096.0}
METRICS_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"


def _samples(text: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families: Iterable[Metric] = text_string_to_metric_families(text.decode())
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def _value(text: bytes, name: str, **labels: str) -> float:
    return _samples(text)[name, frozenset(labels.items())]


def test_figures_arrive_with_their_labels() -> None:
    text = exposition(snapshot(gauges=GAUGES))
    assert _value(text, "tiercel_reads_total", region="product", outcome="hit") == 900
    assert _value(text, "tiercel_tier_reads_total", region="product", tier="redis", outcome="stale") == 20
    assert _value(text, "tiercel_loads_total", region="product") == 60
    assert _value(text, "tiercel_local_used_ratio", region="product") == 0.25
    assert _value(text, "tiercel_journal_lag_seconds", region="product") == 0.75
    assert _value(text, "tiercel_node_up", link="redis", node="127.0.0.1:6379") == 1
    assert _value(text, "tiercel_tenant_reads_total", region="product", tenant="acme", outcome="hit") == 900
    assert _value(text, "tiercel_tier_response_seconds_count", region="product", tier="redis") == 300
    assert _value(text, "tiercel_backplane_gaps_total") == 0
    assert _value(text, "tiercel_events_total", event="invalidated", region="product") == 1


def test_every_family_of_the_catalogue_is_exported_and_documented() -> None:
    text = exposition(snapshot(gauges=GAUGES)).decode()
    page = METRICS_PAGE.read_text(encoding="utf-8")
    for name in [family.name for family in FAMILIES] + [family.name for family in HISTOGRAMS]:
        assert f"# TYPE {name}" in text
        assert f"`{name}`" in page or f"`{name}_total`" in page


def test_buckets_are_cumulative_and_end_with_everything() -> None:
    found = [
        (labels, value)
        for (name, labels), value in _samples(exposition(snapshot())).items()
        if name == "tiercel_tier_response_seconds_bucket" and ("region", "product") in labels
    ]
    ordered = sorted((float(dict(labels)["le"]), value) for labels, value in found)
    values = [value for _, value in ordered]
    assert values == sorted(values)
    assert ordered[-1] == (float("inf"), 300)


def test_series_are_bounded_however_many_tenants_there_are() -> None:
    counters = Recorder()
    for region in range(8):
        for tenant in range(1000):
            counters.tenant_seen(f"r{region}", f"tenant-{tenant}", "hit")
            counters.tenant_seen(f"r{region}", f"tenant-{tenant}", "miss")
    names = [
        labels for name, labels in _samples(exposition(snapshot(counters))) if name == "tiercel_tenant_reads_total"
    ]
    assert len(names) <= 8 * 51 * 2


def test_no_key_is_a_label() -> None:
    counters = recorder()
    counters.event("fill_refused", region="session", tenant="acme", key="canary-key", why="tombstone")
    assert b"canary" not in exposition(snapshot(counters))


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is missing: apt-get install prometheus")
def test_promtool_finds_nothing_wrong() -> None:
    done = subprocess.run(
        [PROMTOOL or "promtool", "check", "metrics"],
        input=exposition(snapshot(gauges=GAUGES)),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_a_scrape_takes_a_fresh_snapshot() -> None:
    counters = recorder()
    registry = registry_of(lambda: snapshot(counters))
    counters.region("search").tier("redis").hits += 1
    assert registry.get_sample_value("tiercel_reads_total", {"region": "search", "outcome": "hit"}) == 51


@pytest.fixture
def target() -> Iterator[str]:
    """Serve the exposition as an application does."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.end_headers()
            self.wfile.write(exposition(snapshot()))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class calls it so
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_real_prometheus_scrapes_it(target: str, prometheus_server: PrometheusServer) -> None:
    prometheus_server.configure(targets=[target])
    deadline_s = time.monotonic() + 20
    reads = f'sum(tiercel_reads_total{{instance="{target}"}})'  # other tests' figures may not have gone stale yet
    while not (found := prometheus_server.query(reads)) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    assert found
    assert float(found[0]["value"][1]) == 1100
    quantile = prometheus_server.query(
        f'histogram_quantile(0.5, tiercel_tier_response_seconds_bucket{{region="product",instance="{target}"}})'
    )
    assert 0.0002 < float(quantile[0]["value"][1]) < 0.0006
    prometheus_server.flush()
