"""
Regions that live at the CDN: what is written there is published, and falls by its tags and scopes like any entry.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tiercel import MISS, AsyncCache, Matrix, RegionOptions

NUMBERS = itertools.count()
WAYS: dict[str, Callable[[AsyncCache], Any]] = {
    "invalidate_tags": lambda cache: cache.tenant("acme").invalidate_tags("product:1"),
    "region.clear": lambda cache: cache.tenant("acme").region("api").clear(),
    "tenant.invalidate_region": lambda cache: cache.tenant("acme").invalidate_region("api"),
    "tenant.invalidate_all": lambda cache: cache.tenant("acme").invalidate_all(),
    "cache.invalidate_region": lambda cache: cache.invalidate_region("api"),
    "cache.invalidate_everything": lambda cache: cache.invalidate_everything(),
}


@pytest.fixture
async def cache(tmp_path: Path) -> AsyncIterator[AsyncCache]:
    base = Matrix.defaults()
    regions = {
        name: RegionOptions(name=name, tiers=("cdn",), ttl_s=300, strategy="write-through")
        for name in ("api", "static")
    }
    shared = replace(base.cache, namespace=f"published{next(NUMBERS)}", cdn=f"folder://{tmp_path}/edge")
    async with AsyncCache(replace(base, regions=regions, entities={}, cache=shared)) as opened:
        yield opened


@pytest.mark.parametrize("way", WAYS)
async def test_a_published_response_falls_by_its_tags_and_scopes(cache: AsyncCache, way: str) -> None:
    responses = cache.tenant("acme").region("api")
    await responses.set("products/1", {"price": 990}, tags=["product:1"])
    assert await responses.get("products/1") == {"price": 990}
    await WAYS[way](cache)
    assert await responses.get("products/1", MISS) is MISS


@pytest.mark.parametrize("way", WAYS)
async def test_a_response_that_was_loaded_falls_likewise(cache: AsyncCache, way: str) -> None:
    responses = cache.tenant("acme").region("api")
    await responses.get_or_load("products/1", lambda: {"price": 990}, tags=["product:1"])
    assert await responses.get("products/1") == {"price": 990}
    await WAYS[way](cache)
    assert await responses.get("products/1", MISS) is MISS


async def test_other_tags_regions_and_tenants_stay(cache: AsyncCache) -> None:
    acme, other = cache.tenant("acme"), cache.tenant("other")
    await acme.region("api").set("products/2", 1990, tags=["product:2"])
    await acme.region("static").set("logo", "logo")
    await other.region("api").set("products/1", 990, tags=["product:1"])
    await acme.invalidate_tags("product:1")
    assert await acme.region("api").get("products/2") == 1990
    await acme.region("api").clear()
    assert await acme.region("api").get("products/2", MISS) is MISS
    assert await acme.region("static").get("logo") == "logo"
    await acme.invalidate_all()
    assert await other.region("api").get("products/1") == 990
