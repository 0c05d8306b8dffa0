# Generated from tests/async_/edge/test_publish_fence.py by tools/unasync.py. Do not edit.
"""
What loses against an invalidation is not published: every order of a load, its publishing and an invalidation on
another node, and writes that still wait in the journal when what they were made from falls.

The naive way beside it is the same code without the two looks at the tokens: it leaves the old price at the edge.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.schedules import Stage, explore
from tiercel import MISS, Cache, CacheOptions, Matrix, RegionOptions
from tiercel._sync import assembly
from tiercel._sync.publication import Publication, Fence
from tiercel._dependencies import collecting
from tiercel._gates import gate
from tiercel._paired import Function
from tiercel._process import Process
from tiercel.errors import TierUnavailable

PATIENT = replace(assembly.DERIVED_JOURNAL, interval_s=60.0)
"""Derived data waits until somebody drains it."""


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Cache]]:
    """Two machines with one far tier and one edge."""
    monkeypatch.setattr(assembly, "DERIVED_JOURNAL", PATIENT)
    opened: list[Cache] = []
    records, namespace = Process().records, f"f{secrets.token_hex(6)}"
    regions = [
        RegionOptions(name="page", tiers=("cdn",), ttl_s=300, strategy="write-through"),
        RegionOptions(name="api", tiers=("cdn",), ttl_s=300, strategy="write-behind"),
        RegionOptions(name="product", tiers=("redis",), ttl_s=300, private=False),
        RegionOptions(name="basket", tiers=("redis",), ttl_s=300, private=True),
    ]
    for number in range(2):
        process = Process()
        process.records = records
        state_dir = str(tmp_path / f"node{number}")
        shared = CacheOptions(namespace=namespace, cdn=f"folder://{tmp_path}/edge", state_dir=state_dir)
        cache = Cache(Matrix.of(*regions, shared), process=process)
        opened.append(cache.start())
    yield opened
    for cache in opened:
        cache.close()


class Shop:
    """A price, and pages that show it; each schedule has a page of its own."""

    def __init__(self, nodes: list[Cache]) -> None:
        self.acme, self.other = (cache.tenant("acme") for cache in nodes)
        self._pages = 0

    def race(self, stage: Stage) -> Function[[], str | None]:
        self._pages += 1
        page, tag, price = f"p{self._pages}", f"t{self._pages}", {"now": 990}

        def render() -> int:
            shown = price["now"]
            gate("page.rendered")
            return shown

        def publish() -> None:
            self.acme.region("page").get_or_load(page, render, tags=[tag])

        def change() -> None:
            price["now"] = 880
            self.other.invalidate_tags(tag)

        stage.actor("publisher", publish)
        stage.actor("invalidator", change)

        def check() -> str | None:
            seen = self.acme.region("page").get(page)
            return None if seen in (880, MISS) else f"the edge serves {seen}"

        return check


def test_a_page_that_loses_against_an_invalidation_is_not_published(nodes: list[Cache]) -> None:
    explored = explore(Shop(nodes).race, 2000)
    assert explored.violations == {}, explored.losing
    assert explored.is_exhaustive
    assert explored.gates["publish.put"] > 0


def test_without_the_fence_the_old_page_stays_at_the_edge(
    nodes: list[Cache], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stands(self: Publication, fence: Fence) -> bool:
        return True

    monkeypatch.setattr(Publication, "_may_stand", stands)
    explored = explore(Shop(nodes).race, 2000)
    assert explored.violations["the edge serves 990"] > 0


def test_a_response_that_waits_is_not_published_after_its_tag_fell(nodes: list[Cache]) -> None:
    acme = nodes[0].tenant("acme")
    responses = acme.region("api")
    handle = responses.write("products/1", {"price": 990}, tags=["product:1"])
    assert responses.get("products/1") == {"price": 990}  # though it waits
    nodes[1].tenant("acme").invalidate_tags("product:1")
    assert responses.get("products/1", MISS, consistency="strong") is MISS
    assert nodes[0].drain() == 0
    handle.persisted()
    assert responses.get("products/1", MISS) is MISS


def test_without_the_fence_the_waiting_response_comes_back(
    nodes: list[Cache], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stands(self: Publication, fence: Fence) -> bool:
        return True

    monkeypatch.setattr(Publication, "_may_stand", stands)
    acme = nodes[0].tenant("acme")
    acme.region("api").write("products/1", {"price": 990}, tags=["product:1"])
    acme.invalidate_tags("product:1")
    nodes[0].drain()
    assert acme.region("api").get("products/1") == {"price": 990}


@pytest.mark.parametrize("way", ["remove", "expire", "delete"])
def test_a_response_that_waits_goes_with_its_key(nodes: list[Cache], way: str) -> None:
    responses = nodes[0].tenant("acme").region("api")
    responses.write("products/1", {"price": 990})
    getattr(responses, way)("products/1")
    assert responses.get("products/1", MISS) is MISS
    nodes[0].drain()
    assert responses.get("products/1", MISS) is MISS


def test_what_was_loaded_from_an_entry_falls_with_it(nodes: list[Cache]) -> None:
    acme = nodes[0].tenant("acme")
    acme.region("product").set("1", 990)

    def render() -> str:
        return f"price {acme.region('product').get('1')}"

    assert acme.region("page").get_or_load("p/1", render) == "price 990"
    published = nodes[0].edge.fetch("/acme/page/p/1")  # type: ignore[union-attr]  # this matrix has an edge
    assert published is not None
    assert any(tag.startswith("dep-") for tag in published.tags)


def test_what_was_loaded_with_a_private_entry_is_not_published(nodes: list[Cache]) -> None:
    acme = nodes[0].tenant("acme")
    acme.region("basket").set("1", "secret")

    def render() -> Any:
        return acme.region("basket").get("1")

    assert acme.region("page").get_or_load("p/1", render) == "secret"
    assert acme.region("page").get("p/1", MISS) is MISS


def test_a_load_whose_tokens_are_not_known_is_answered_and_not_published(
    nodes: list[Cache], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = nodes[0].tenant("acme").region("page")

    def away(*_: Any, **__: Any) -> Any:
        raise TierUnavailable("the far tier is away")

    with monkeypatch.context() as patched:
        patched.setattr(pages.place.node.tags, "stamps", away)
        assert pages.get_or_load("p/1", lambda: "page") == "page"
        pages.set("p/2", "written by hand", tags=["t"])  # new as of now: published all the same
    assert pages.get("p/1", MISS) is MISS
    assert pages.get("p/2") == "written by hand"
    nodes[1].tenant("acme").invalidate_tags("t")
    assert pages.get("p/2", MISS) is MISS


def test_a_computation_depends_on_what_it_read_at_the_cdn(nodes: list[Cache]) -> None:
    """A miss too: what was made without the thing falls when it appears."""
    acme, other = (cache.tenant("acme") for cache in nodes)
    products = acme.region("product")

    def list_page() -> str:
        return f"{acme.region('page').get('p/1', 'nothing')}"

    assert products.get_or_load("list", list_page, consistency="strong") == "nothing"
    other.region("page").set("p/1", "old")
    assert products.get_or_load("list", list_page, consistency="strong") == "old"
    other.region("page").set("p/1", "new")
    assert products.get_or_load("list", list_page, consistency="strong") == "new"


def test_a_get_that_found_nothing_is_a_dependency(nodes: list[Cache]) -> None:
    acme, other = (cache.tenant("acme") for cache in nodes)

    def list_page() -> str:
        one = acme.region("product").get("1", "nothing")
        return f"{one} {len(acme.region('product').get_many(['2', '3']))}"

    assert acme.region("product").get_or_load("list", list_page, consistency="strong") == "nothing 0"
    other.region("product").set("1", 990)
    assert acme.region("product").get_or_load("list", list_page, consistency="strong") == "990 0"
    other.region("product").set("3", 1990)
    assert acme.region("product").get_or_load("list", list_page, consistency="strong") == "990 1"


def test_what_is_made_from_a_published_object_with_tags_of_its_own_is_not_shared(
    nodes: list[Cache],
) -> None:
    acme = nodes[0].tenant("acme")
    acme.region("page").set("p/1", "tagged", tags=["category:1"])
    acme.region("page").set("p/2", "plain")
    for key, is_shared in (("p/1", False), ("p/2", True)):
        with collecting() as found:
            acme.region("page").get(key)
        assert (found.stamps_with(()) is not None) is is_shared


def test_a_local_read_that_may_not_wait_is_noted_by_what_is_known(
    nodes: list[Cache], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the tokens are not known here, the result is not shared rather than shared too long."""
    products = nodes[0].tenant("acme").region("product")
    with collecting() as found:
        assert products.get_local("1", "nothing") == "nothing"
    assert found.why_not_shared(()) == "mixed read"
    with collecting() as found:
        products.get("1")  # asks for the tokens, which are known from now on
        products.get_local("1")
    tags = products.place.node.tags
    monkeypatch.setattr(tags, "_is_live", lambda: True)
    with collecting() as found:
        products.get_local("1")
    assert found.why_not_shared(()) == ""
    assert products.place.key_tag("1") in found.tokens
