"""
A price changes in the store, and the page that showed it falls at the edge, with nobody listing URLs.

The application's page carries its product's tag; the entity graph says that the tag falls with the product. The same
application stands behind a real Varnish, behind CloudFront (its real limits, played by the stand-in, its cache by a
second Varnish that falls when an invalidation completes), and behind the embedded edge in a process of its own.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.real.waiting import until
from tests.rig.process import Unavailable, accepts, free_port, wait_until
from tests.rig.varnish import VarnishServer
from tests.standins.cloudfront import CloudFrontModel, CloudFrontStandIn
from tiercel import AsyncCache, AsyncTenant, EntityRule, Matrix, RegionOptions
from tiercel._core.clock import SystemClock
from tiercel._edges.varnish import VarnishSender
from tiercel.cdn.capabilities import VARNISH
from tiercel.cdn.purge import PurgeItem
from tiercel.http.asgi import PageCache
from tiercel.http.exchange import Receive, Scope, Send
from tiercel.http.policy import RoutePolicy

uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed (pip install tiercel[service])")
ROOT = Path(__file__).resolve().parents[3]
CONTENT = [(b"content-type", b"text/plain")]


def matrix(home: Path, cdn: str) -> Matrix:
    base = Matrix.defaults()
    product = RegionOptions(name="product", tiers=("local",), ttl_s=3600, store=f"sqlite:///{home}/shop.db#products")
    rule = EntityRule(name="product", regions=("product:{id}",), tags=("product:{id}",))
    cache = replace(base.cache, namespace="price", cdn=cdn, state_dir=str(home / "state"))
    return replace(base, regions={"product": product}, entities={"product": rule}, cache=cache)


async def is_started(server: Any) -> bool:
    """Say whether *server* accepts connections."""
    return bool(server.started)


@asynccontextmanager
async def served(acme: AsyncTenant, port: int) -> AsyncIterator[None]:
    """Serve the product pages of *acme* at *port*."""

    async def pages(scope: Scope, receive: Receive, send: Send) -> None:
        row = await acme.region("product").read(scope["path"].rpartition("/")[2])
        await send({"type": "http.response.start", "status": 200, "headers": CONTENT})
        await send({"type": "http.response.body", "body": str(row["price"]).encode()})

    routes = [RoutePolicy(path="/p/{sku}", ttl_s=3600, tags=("product:{sku}",))]
    site = PageCache(pages, routes=routes, tenant="acme", edges=(VARNISH,))
    options = {"log_level": "error", "lifespan": "off", "ws": "none", "access_log": False}
    server = uvicorn.Server(uvicorn.Config(site, host="127.0.0.1", port=port, **options))
    serving = asyncio.ensure_future(server.serve())
    await until(lambda: is_started(server), "the application serves")
    try:
        yield
    finally:
        server.should_exit = True
        await serving


@contextmanager
def varnish(origin_port: int) -> Iterator[VarnishServer]:
    own = files("tiercel.cdn").joinpath("tiercel.vcl").read_text(encoding="utf-8").replace("vcl 4.1;", "", 1)
    backend = f'backend default {{ .host = "127.0.0.1"; .port = "{origin_port}"; }}'
    server = VarnishServer(f'vcl 4.1;\n{backend}\nacl tiercel_purgers {{ "127.0.0.1"; }}\n{own}')
    try:
        server.start()
    except Unavailable as reason:
        pytest.skip(f"varnish: {reason}")
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def varnish_edge(origin_port: int) -> Iterator[tuple[int, str]]:
    with varnish(origin_port) as server:
        yield server.port, f"varnish://127.0.0.1:{server.port}?window=0.01"


@contextmanager
def cloudfront_edge(origin_port: int) -> Iterator[tuple[int, str]]:
    with varnish(origin_port) as cache:
        sender = VarnishSender([f"127.0.0.1:{cache.port}"])

        def fall(items: Sequence[str]) -> None:
            named = [PurgeItem("tag", item[1:]) if item.startswith("#") else PurgeItem("path", item) for item in items]
            sender.send("invalidation", named)

        model = CloudFrontModel(SystemClock(), completes_after_s=0.3, on_complete=fall)
        with CloudFrontStandIn(model) as api:
            yield cache.port, f"cloudfront://E1?window=0.01&endpoint={api.url}"
        sender.close()


@contextmanager
def embedded_edge(origin_port: int) -> Iterator[tuple[int, str]]:
    port = free_port()
    command = [sys.executable, "-c", "from tiercel.cli import main; raise SystemExit(main())", "edge"]
    command += [
        "--origin",
        f"http://127.0.0.1:{origin_port}",
        "--listen",
        f"127.0.0.1:{port}",
        "--purge-from",
        "127.0.0.1",
    ]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: accepts(port), "tiercel edge")
        yield port, f"varnish://127.0.0.1:{port}?window=0.01"
    finally:
        process.terminate()
        process.wait(15)


async def price_at(port: int, sku: str) -> str:
    def fetch() -> str:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", f"/p/{sku}", headers={"Host": "acme.example"})
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    return await asyncio.to_thread(fetch)


@pytest.mark.parametrize(
    "edge", [varnish_edge, cloudfront_edge, embedded_edge], ids=["varnish", "cloudfront", "embedded"]
)
async def test_the_page_falls_with_its_product(edge: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    application_port = free_port()
    with edge(application_port) as (port, cdn):  # type: ignore[operator]  # one of the three above
        async with AsyncCache(matrix(tmp_path, cdn)) as cache:
            acme = cache.tenant("acme")
            products = acme.region("product")
            for sku in ("1", "2"):
                await products.write(sku, {"price": 990})
            async with served(acme, application_port):
                assert [await price_at(port, sku) for sku in ("1", "2")] == ["990", "990"]
                for sku in ("1", "2"):
                    await products.write(sku, {"price": 880})
                assert [await price_at(port, sku) for sku in ("1", "2")] == ["990", "990"]  # held by the edge
                receipt = await acme.invalidate("product", "1")
                clean_s = await receipt.wait("cdn")
                assert [await price_at(port, sku) for sku in ("1", "2")] == ["880", "990"]
                times = {tier: round(at - receipt.state.started_s, 3) for tier, at in receipt.state.clean_s.items()}
                print(f"seconds until each tier was clean: {times}")
                assert receipt.state.started_s <= receipt.state.clean_s["local"] <= clean_s
