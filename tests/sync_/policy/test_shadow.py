# Generated from tests/async_/policy/test_shadow.py by tools/unasync.py. Do not edit.
"""Shadow comparisons: what differs for longer than a write is on its way is counted, within bounds, without the key."""

from __future__ import annotations

import pytest

from tests.sync_.policy.conftest import Node
from tiercel import Cache
from tiercel._sync.policyshadow import MOST_WAITING, Shadow
from tiercel._core.clock import ManualClock
from tiercel._core.policynotes import ShadowCount
from tiercel._process import Process
from tiercel.errors import ConfigurationError
from tiercel.typing import Change

EVERY_HIT = {"product": {"shadow_share": 1.0, "shadow_rate": 1000.0}}


@pytest.fixture
def far_url() -> None:
    """The far tier in this process: a server's clock cannot be moved."""


class Shop:
    """A node on a clock of the test's own, whose products can be changed behind its back."""

    def __init__(self, cache: Cache, clock: ManualClock) -> None:
        self.cache, self.clock = cache, clock
        self.products = cache.tenant("acme").region("product")

    def writes_past_the_cache(self, key: str, value: object) -> None:
        store = self.products.place.core.store
        assert store is not None
        store.write(Change("acme", key, value, 10**18))

    def passes(self, seconds: float) -> ShadowCount:
        """Let time pass, compare what is due, and return the counts."""
        self.clock.advance(seconds)
        shadow = self.products.place.core.watcher
        assert isinstance(shadow, Shadow)
        shadow.turn()
        return shadow.counts()["product"]


def opened(node: Node) -> Shop:
    clock = ManualClock(wall_s=1_800_000_000.0)
    shop = Shop(node("a", process=Process(clock)), clock)
    shop.cache.policy.change(EVERY_HIT, by="ada")
    shop.passes(1.0)
    return shop


def test_a_hit_that_differs_twice_is_a_mismatch_told_without_its_key(node: Node) -> None:
    shop = opened(node)
    shop.products.write("secret-sku", {"cents": 1})
    shop.writes_past_the_cache("secret-sku", {"cents": 2})
    for _ in range(3):
        assert shop.products.read("secret-sku") == {"cents": 1}
    found = shop.passes(0.1)
    assert found.compared >= 1
    assert found.mismatched == 0
    found = shop.passes(1.5)
    assert found.mismatched >= 1
    (event, *_) = [one for one in shop.cache.recorder.events() if one.name == "shadow_mismatch"]
    assert "secret-sku" not in repr(event)


def test_a_write_on_its_way_is_no_mismatch(node: Node) -> None:
    shop = opened(node)
    shop.products.write("sku", {"cents": 1})
    shop.products.read("sku", consistency="strong")
    shop.writes_past_the_cache("sku", {"cents": 2})
    shop.passes(0.1)
    shop.products.remove("sku")
    assert shop.products.read("sku") == {"cents": 2}
    assert (shop.passes(1.5)).mismatched == 0


def test_plain_local_hits_are_represented(node: Node) -> None:
    shop = opened(node)
    shop.products.write("sku", (1, 2))
    shop.products.read("sku")
    before = (shop.passes(0.1)).compared
    for _ in range(40):
        assert shop.products.get_local("sku") is not None
    assert (shop.passes(0.1)).compared == before + 40


def test_comparisons_are_bounded_and_what_was_left_out_is_counted(node: Node) -> None:
    shop = opened(node)
    shop.cache.policy.change({"product": {"shadow_rate": 2.0}}, by="ada")
    shop.products.write("sku", {"cents": 1})
    shop.products.read("sku")
    shop.passes(0.1)
    for _ in range(1000):
        shop.products.get_local("sku")
    before = (shop.passes(0.0)).compared
    found = shop.passes(1.0)
    assert found.compared <= before + 2
    assert found.skipped >= 1000 - MOST_WAITING - 10


def test_a_region_that_nobody_asked_for_is_not_watched(node: Node) -> None:
    shop = opened(node)
    assert shop.cache.tenant("acme").region("plain").place.core.watcher is None
    with pytest.raises(ConfigurationError, match="no store"):
        shop.cache.policy.change({"plain": {"shadow_share": 0.1}}, by="ada")
    shop.cache.policy.change({"product": {"shadow_share": 0.0}}, by="ada")
    assert shop.products.place.core.watcher is None


def test_a_store_that_fails_is_counted_and_disturbs_no_read(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = opened(node)
    shop.products.write("sku", {"cents": 1})
    shop.products.read("sku")

    def down(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(shop.products.place.core.store, "read", down)
    assert shop.products.read("sku") == {"cents": 1}
    assert (shop.passes(0.1)).failed >= 1
