"""
The applications that the edge benchmark drives: ``python -m benchmarks.endtoend.edge_apps VARIANT PORT``.

``bare`` renders a product list of 100 rows on each request; ``middleware`` and ``edge`` are the same application behind
the page cache (pages in a local region) and behind the embedded edge.
"""

from __future__ import annotations

import asyncio
import sys

import uvicorn

import tiercel
from tiercel.http.asgi import PageCache
from tiercel.http.edge import Edge
from tiercel.http.exchange import ASGIApp, Receive, Scope, Send
from tiercel.http.policy import RoutePolicy

ROWS = [{"sku": f"sku-{number}", "name": f"Product {number}", "price": 990 + number} for number in range(100)]
ROW = "<li id='{sku}'><a href='/p/{sku}'>{name}</a> <b>{price}</b></li>"


async def shop(scope: Scope, receive: Receive, send: Send) -> None:
    """Render the list."""
    if scope["type"] != "http":
        return
    body = ("<ul>" + "".join(ROW.format(**row) for row in ROWS) + "</ul>").encode()
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"public, max-age=3600"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def middleware() -> ASGIApp:
    """Return the application behind the page cache."""
    pages = tiercel.RegionOptions(name="pages", tiers=("local",), ttl_s=3600)
    cache = tiercel.AsyncCache(tiercel.Matrix(regions={"pages": pages}))
    wrapped = PageCache(
        shop,
        routes=[RoutePolicy(path="/*", ttl_s=3600)],
        tenant="acme",
        region=lambda tenant: cache.tenant(tenant).region("pages"),
    )
    starting = asyncio.Lock()
    is_started = False

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal is_started
        if not is_started:
            async with starting:  # the first connections come together
                await cache.start()
                is_started = True
        await wrapped(scope, receive, send)

    return application


def edge() -> ASGIApp:
    """Return the application behind the embedded edge."""
    return Edge(shop)


def bare() -> ASGIApp:
    """Return the application alone."""
    return shop


VARIANTS = {"bare": bare, "middleware": middleware, "edge": edge}


def main() -> None:
    """Serve the variant on the port that the arguments name."""
    variant, port = sys.argv[1], int(sys.argv[2])
    uvicorn.run(VARIANTS[variant](), host="127.0.0.1", port=port, log_level="warning", access_log=False, lifespan="off")


if __name__ == "__main__":
    main()
