# Generated from tests/async_/edge/test_api_responses.py by tools/unasync.py. Do not edit.
"""
Responses that the application hands to the CDN by itself: computed under a fence, falling with what they show.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tiercel import MISS, Cache, CacheOptions, Matrix, RegionOptions
from tiercel._dependencies import collecting
from tiercel.errors import ConfigurationError, EncodeError


@pytest.fixture(params=["write-behind", "write-through"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cache]:
    regions = [
        RegionOptions(name="api", tiers=("cdn",), ttl_s=300, strategy=request.param),
        RegionOptions(name="product", tiers=("local",), ttl_s=60, purge_pages=True),
        RegionOptions(name="basket", tiers=("local",), ttl_s=60, private=True),
    ]
    shared = CacheOptions(namespace=f"a{secrets.token_hex(6)}", cdn=f"folder://{tmp_path}/edge")
    with Cache(Matrix.of(*regions, shared)) as opened:
        yield opened


def test_a_computed_response_is_published_and_falls_with_what_it_read(cache: Cache) -> None:
    acme = cache.tenant("acme")
    acme.region("product").set("42", 990)

    def render() -> Any:
        return {"price": acme.region("product").get("42")}

    response = acme.cache_api_response("/products/42", render, tags=["list"])
    response.persisted()
    assert (response.value, response.path, response.why_not) == ({"price": 990}, "/acme/api/products/42", "")
    assert acme.region("api").get("products/42") == {"price": 990}
    acme.region("product").set("42", 880)
    assert acme.region("api").get("products/42", MISS) is MISS


def test_it_falls_by_its_tags_as_well(cache: Cache) -> None:
    acme = cache.tenant("acme")
    response = acme.cache_api_response("products.html", "<p>products</p>", tags=["list"])
    response.persisted()
    published = cache.edge.fetch(response.path)  # type: ignore[union-attr]  # this matrix has an edge
    assert published is not None
    assert published.content_type == "text/html; charset=utf-8"
    acme.invalidate_tags("list")
    assert acme.region("api").get("products.html", MISS) is MISS


def test_it_is_fresh_for_no_longer_than_what_it_shows(cache: Cache) -> None:
    acme = cache.tenant("acme")
    acme.region("product").set("42", 990, ttl_s=20)

    def render() -> Any:
        return acme.region("product").get("42")

    (acme.cache_api_response("products/42", render)).persisted()
    left_s = acme.region("api").ttl("products/42")
    assert left_s is not None
    assert left_s <= 20


def test_a_private_read_is_told_and_not_shared(cache: Cache) -> None:
    acme = cache.tenant("acme")
    acme.region("basket").set("1", "secret")

    def render() -> Any:
        return acme.region("basket").get("1")

    response = acme.cache_api_response("basket", render)
    response.persisted()
    assert (response.value, response.why_not) == ("secret", "private read")
    assert acme.region("api").get("basket", MISS) is MISS


def test_what_falls_while_it_is_computed_keeps_it_from_being_shared(cache: Cache) -> None:
    acme = cache.tenant("acme")

    def render() -> str:
        acme.invalidate_tags("list")
        return "old"

    response = acme.cache_api_response("products", render, tags=["list"])
    response.persisted()
    assert acme.region("api").get("products", MISS) is MISS


def test_a_value_computed_in_a_collected_computation_depends_on_it(cache: Cache) -> None:
    acme = cache.tenant("acme")
    acme.region("product").set("42", 990)
    with collecting():
        price = acme.region("product").get("42")
        response = acme.cache_api_response("products/42", {"price": price})
    response.persisted()
    assert acme.region("api").get("products/42") == {"price": 990}
    acme.region("product").set("42", 880)
    assert acme.region("api").get("products/42", MISS) is MISS


def test_what_cannot_be_published_is_refused(cache: Cache) -> None:
    acme = cache.tenant("acme")
    with pytest.raises(ConfigurationError, match="no CDN tier"):
        acme.cache_api_response("x", "x", region="product")
    with pytest.raises(EncodeError):
        acme.cache_api_response("x", {"not": object()})
