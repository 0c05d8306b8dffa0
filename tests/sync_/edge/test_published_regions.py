# Generated from tests/async_/edge/test_published_regions.py by tools/unasync.py. Do not edit.
"""
Regions that live at the CDN: what is written there is published, and falls by its tags and scopes like any entry.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tiercel import MISS, Cache, Matrix, RegionOptions

NUMBERS = itertools.count()
WAYS: dict[str, Callable[[Cache], Any]] = {
    "invalidate_tags": lambda cache: cache.tenant("acme").invalidate_tags("product:1"),
    "region.clear": lambda cache: cache.tenant("acme").region("api").clear(),
    "tenant.invalidate_region": lambda cache: cache.tenant("acme").invalidate_region("api"),
    "tenant.invalidate_all": lambda cache: cache.tenant("acme").invalidate_all(),
    "cache.invalidate_region": lambda cache: cache.invalidate_region("api"),
    "cache.invalidate_everything": lambda cache: cache.invalidate_everything(),
}


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    base = Matrix.defaults()
    regions = {
        name: RegionOptions(name=name, tiers=("cdn",), ttl_s=300, strategy="write-through")
        for name in ("api", "static")
    }
    shared = replace(base.cache, namespace=f"published{next(NUMBERS)}", cdn=f"folder://{tmp_path}/edge")
    with Cache(replace(base, regions=regions, entities={}, cache=shared)) as opened:
        yield opened


@pytest.mark.parametrize("way", WAYS)
def test_a_published_response_falls_by_its_tags_and_scopes(cache: Cache, way: str) -> None:
    responses = cache.tenant("acme").region("api")
    responses.set("products/1", {"price": 990}, tags=["product:1"])
    assert responses.get("products/1") == {"price": 990}
    WAYS[way](cache)
    assert responses.get("products/1", MISS) is MISS


@pytest.mark.parametrize("way", WAYS)
def test_a_response_that_was_loaded_falls_likewise(cache: Cache, way: str) -> None:
    responses = cache.tenant("acme").region("api")
    responses.get_or_load("products/1", lambda: {"price": 990}, tags=["product:1"])
    assert responses.get("products/1") == {"price": 990}
    WAYS[way](cache)
    assert responses.get("products/1", MISS) is MISS


def test_other_tags_regions_and_tenants_stay(cache: Cache) -> None:
    acme, other = cache.tenant("acme"), cache.tenant("other")
    acme.region("api").set("products/2", 1990, tags=["product:2"])
    acme.region("static").set("logo", "logo")
    other.region("api").set("products/1", 990, tags=["product:1"])
    acme.invalidate_tags("product:1")
    assert acme.region("api").get("products/2") == 1990
    acme.region("api").clear()
    assert acme.region("api").get("products/2", MISS) is MISS
    assert acme.region("static").get("logo") == "logo"
    acme.invalidate_all()
    assert other.region("api").get("products/1") == 990
