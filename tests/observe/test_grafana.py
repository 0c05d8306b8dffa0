"""The Grafana dashboard: valid by Grafana's own schema, and every expression runs on a real Prometheus."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests.observe.figures import recorder, snapshot
from tests.rig.prometheus import PrometheusServer
from tiercel.observe.families import FAMILIES, HISTOGRAMS
from tiercel.observe.grafana import dashboard
from tiercel.observe.prometheus import CONTENT_TYPE, exposition


def _expressions() -> list[str]:
    targets = [target for panel in dashboard()["panels"] for target in panel.get("targets", [])]
    return [target["expr"].replace("$region", ".*").replace("$__rate_interval", "30s") for target in targets]


def _missing(wanted: Any, found: Any, path: str = "") -> list[str]:
    """Return the paths of *wanted* that *found* lacks: what the schema's classes did not know they dropped."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [
            place
            for key, value in wanted.items()
            for place in (_missing(value, found[key], f"{path}.{key}") if key in found else [f"{path}.{key}"])
        ]
    if isinstance(wanted, list) and isinstance(found, list):
        pairs = zip(wanted, found, strict=True)
        return [place for number, pair in enumerate(pairs) for place in _missing(*pair, f"{path}[{number}]")]
    return [] if wanted == found else [f"{path}: {wanted!r} became {found!r}"]


def test_grafanas_schema_knows_every_field() -> None:
    models = pytest.importorskip(
        "grafana_foundation_sdk.models.dashboard", reason="grafana-foundation-sdk is missing: pip install it"
    )
    plugins = pytest.importorskip("grafana_foundation_sdk.cog.plugins")
    encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder")
    plugins.register_default_plugins()
    wanted = dashboard()
    read = models.Dashboard.from_json(wanted)
    found = json.loads(encoder.JSONEncoder().encode(read))
    assert _missing(wanted, found) == []


def test_a_field_that_the_schema_lacks_is_found() -> None:
    assert _missing({"a": {"b": 1, "c": [1]}}, {"a": {"c": [2]}}) == [".a.b", ".a.c[0]: 1 became 2"]


def test_panels_fill_the_grid_without_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        assert all(0 <= x < 24 for x, _ in cells)
        taken |= cells
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])


def test_every_metric_is_of_the_catalogue() -> None:
    suffixes = ("_total", "_bucket", "_count", "_sum", "")
    names = [family.name for family in FAMILIES] + [family.name for family in HISTOGRAMS]
    known = {name + suffix for name in names for suffix in suffixes}
    for expression in _expressions():
        words = expression.replace("(", " ").replace("{", " ").replace("[", " ").replace(")", " ").split()
        used = [word for word in words if word.startswith("tiercel_")]
        assert used
        assert set(used) <= known


@pytest.fixture
def target() -> Iterator[str]:
    """Serve figures that grow at every scrape."""
    counters = recorder()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            for region in counters.regions().values():
                region.invalidations += 1
                region.write_latency.observe(0.001)
                region.load_latency.observe(0.01)
                region.loads += 1
                for tier in region.tiers.values():
                    tier.hits += 10
                    tier.latency.observe(0.001)
            counters.event("invalidated", region="product")
            counters.tenant_seen("product", "acme", "hit")
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.end_headers()
            self.wfile.write(exposition(snapshot(counters, gauges={"backplane_lag": 0.01, "purge_budget_used": 0.2})))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class calls it so
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_expression_has_an_answer_on_a_real_prometheus(target: str, prometheus_server: PrometheusServer) -> None:
    prometheus_server.configure(targets=[target])
    deadline_s = time.monotonic() + 30
    silent = _expressions()
    while silent and time.monotonic() < deadline_s:
        time.sleep(0.5)
        silent = [expression for expression in silent if not prometheus_server.query(expression)]
    assert silent == []
    prometheus_server.flush()
