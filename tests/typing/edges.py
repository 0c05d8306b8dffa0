"""
What users write with edges, checked by mypy in strict mode and never run: both colours, every exported name.
"""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import tiercel


async def publish_and_purge() -> None:
    """The awaitable side."""
    edge = await tiercel.open_async_edge("folder:///srv/edge", state_dir=Path("state"))
    assert_type(edge, tiercel.AsyncDistribution)
    published = await edge.publish("/acme/a.css", b"a{}", content_type="text/css", ttl_s=60, tags=["theme"])
    assert_type(published.ticket, tiercel.PurgeTicket | None)
    ticket = await edge.purge(tiercel.PurgeRequest(tags=["theme"], tenant="acme"))
    assert_type(await edge.status(ticket), tiercel.PurgeStatus)
    options = tiercel.SiteOptions(base="/site/", tags=("site",))
    assert_type(await tiercel.AsyncSitePublisher(edge, options).publish(Path("dist")), tiercel.SiteReport)
    await edge.aclose()


def publish_and_purge_blocking() -> None:
    """The blocking side: the same, less the awaiting."""
    edge = tiercel.open_edge("folder:///srv/edge", state_dir=Path("state"))
    assert_type(edge, tiercel.Distribution)
    ticket = edge.purge(tiercel.PurgeRequest(paths=["/a"], everything=False))
    assert_type(edge.status(ticket), tiercel.PurgeStatus)
    assert_type(tiercel.SitePublisher(edge).publish(Path("dist")), tiercel.SiteReport)
    edge.close()


async def respond(cache: tiercel.AsyncCache) -> None:
    """API responses handed to the CDN, from a value and from functions of both kinds."""
    acme = cache.tenant("acme")

    async def render() -> dict[str, int]:
        return {"price": 990}

    response = await acme.cache_api_response("products/42", render, tags=["product:42"], ttl_s=300.0)
    assert_type(response, tiercel.AsyncApiResponse)
    assert_type(response.path, str)
    await response.persisted()
    await acme.region("api").publish("products/43", {"price": 880})


def respond_blocking(cache: tiercel.Cache) -> None:
    """The same, blocking."""
    response = cache.tenant("acme").cache_api_response("products/42", lambda: {"price": 990})
    assert_type(response, tiercel.ApiResponse)
    response.persisted(1.0)
