# Generated from tests/async_/policy/test_hot_path.py by tools/unasync.py. Do not edit.
"""A local hit looks at no plan: live changes put no lock, look-up or allocation on it."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest

from tests.sync_.policy.conftest import Node
from tiercel._core.policy import Switch


@pytest.fixture
def far_url() -> None:
    """A local hit is the same whatever is behind it."""


class Untouchable:
    """A plan that nobody may look at."""

    def __getattribute__(self, name: str) -> NoReturn:
        raise AssertionError(f"somebody looked at .{name}")


def test_no_local_hit_looks_at_the_plan(node: Node) -> None:
    cache = node("a")
    region = cache.tenant("acme").region("product")
    cache.policy.change({"product": {"ttl": "10s"}}, by="ada", off=[Switch(layer="local", tenant="other")])

    @region.cached(key="{name}")
    def greeting(name: str) -> str:
        return f"hello {name}"

    def hits() -> list[Any]:
        return [region.get_local("sku"), region.get("sku"), region.read("sku"), greeting("ada")]

    region.write("sku", 1)
    region.read("sku")
    greeting("ada")
    assert hits() == [1, 1, 1, "hello ada"]
    plan = region.place.core.plan
    region.place.core.plan = Untouchable()  # type: ignore[assignment]  # that is the test
    try:
        assert hits() == [1, 1, 1, "hello ada"]
        with pytest.raises(AssertionError, match="looked at"):
            region.get("missing", None)
    finally:
        region.place.core.plan = plan


def test_an_entry_keeps_the_ttl_that_it_was_made_with(node: Node) -> None:
    cache = node("a")
    region = cache.tenant("acme").region("product")
    region.write("old", 1)
    region.read("old")
    cache.policy.change({"product": {"ttl": "10s"}}, by="ada")
    region.write("new", 2)
    assert (region.ttl("old") or 0) > 50
    assert (region.ttl("new") or 0) <= 10
