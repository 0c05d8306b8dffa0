"""A local hit looks at no plan: live changes put no lock, look-up or allocation on it."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest

from tests.async_.policy.conftest import Node
from tiercel._core.policy import Switch


@pytest.fixture
def far_url() -> None:
    """A local hit is the same whatever is behind it."""


class Untouchable:
    """A plan that nobody may look at."""

    def __getattribute__(self, name: str) -> NoReturn:
        raise AssertionError(f"somebody looked at .{name}")


async def test_no_local_hit_looks_at_the_plan(node: Node) -> None:
    cache = await node("a")
    region = cache.tenant("acme").region("product")
    await cache.policy.change({"product": {"ttl": "10s"}}, by="ada", off=[Switch(layer="local", tenant="other")])

    @region.cached(key="{name}")
    async def greeting(name: str) -> str:
        return f"hello {name}"

    async def hits() -> list[Any]:
        return [region.get_local("sku"), await region.get("sku"), await region.read("sku"), await greeting("ada")]

    await region.write("sku", 1)
    await region.read("sku")
    await greeting("ada")
    assert await hits() == [1, 1, 1, "hello ada"]
    plan = region.place.core.plan
    region.place.core.plan = Untouchable()  # type: ignore[assignment]  # that is the test
    try:
        assert await hits() == [1, 1, 1, "hello ada"]
        with pytest.raises(AssertionError, match="looked at"):
            await region.get("missing", None)
    finally:
        region.place.core.plan = plan


async def test_an_entry_keeps_the_ttl_that_it_was_made_with(node: Node) -> None:
    cache = await node("a")
    region = cache.tenant("acme").region("product")
    await region.write("old", 1)
    await region.read("old")
    await cache.policy.change({"product": {"ttl": "10s"}}, by="ada")
    await region.write("new", 2)
    assert (await region.ttl("old") or 0) > 50
    assert (await region.ttl("new") or 0) <= 10
