"""
Refreshes ahead of the end: by a part of the ttl, and many keys that fall due together in one load.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.async_.engine.conftest import Node, until
from tiercel import AsyncRegion, ConfigurationError, RegionOptions
from tiercel._async import loads
from tiercel._core.windows import is_past_part
from tiercel._paired import AsyncPoll
from tiercel.typing import Change, Key, Record

either = pytest.mark.parametrize("far_url", ["memory", "redis"], indirect=True)
in_memory = pytest.mark.parametrize("far_url", ["memory"], indirect=True)

ROWS = RegionOptions(name="rows", tiers=("redis",), ttl_s=0.001, grace_s=600.0, hot_keys=0)


class Shelf:
    """A store that counts its queries and the keys of each."""

    def __init__(self) -> None:
        self.queries: list[list[Key]] = []
        self.version = 1
        self.fails = False

    async def read(self, tenant: str, key: Key) -> Record | None:
        return (await self.read_many(tenant, [key]))[key]

    async def read_many(self, tenant: str, keys: Sequence[Key]) -> dict[Key, Record]:
        self.queries.append(list(keys))
        if self.fails:
            raise ConnectionError("down")
        return {key: Record(f"{key!s} {self.version}", self.version) for key in keys}

    async def write(self, change: Change, *, guard: bool = False) -> Any:
        raise AssertionError("nobody writes here")

    async def write_many(self, changes: Sequence[Change], *, guard: bool = False) -> Any:
        raise AssertionError("nobody writes here")

    async def ping(self) -> None:
        return None

    async def aclose(self) -> None:
        return None


async def rows_on(node: Node, shelf: Shelf, options: RegionOptions = ROWS) -> AsyncRegion:
    return (await node(stores={"rows": shelf}, rows=options)).tenant("acme").region("rows")


async def is_stale(rows: AsyncRegion, key: str) -> None:
    poll = AsyncPoll(10.0)
    while await rows.holds(key):
        assert await poll.again()


def test_a_part_of_the_ttl() -> None:
    assert not is_past_part(26.0, 100.0, 0.75)
    assert is_past_part(25.0, 100.0, 0.75)
    assert not is_past_part(0.0, 100.0, 0.0), "off"


@either
async def test_what_falls_due_together_is_loaded_in_one_call(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loads, "GATHER_S", 0.1)
    shelf = Shelf()
    rows = await rows_on(node, shelf)
    keys = [f"k{number}" for number in range(10)]
    await rows.read_many(keys)
    await is_stale(rows, "k9")
    shelf.version, shelf.queries = 2, []
    answers = [await rows.read(key) for key in keys]
    assert answers == [f"{key} 1" for key in keys], "stale at once"
    await until(lambda: len(shelf.queries) > 0)
    assert sorted(map(str, shelf.queries[0])) == keys, "the naive way asks the store ten times"


@either
async def test_many_stale_keys_are_served_at_once_and_renewed_in_one_call(node: Node) -> None:
    shelf = Shelf()
    rows = await rows_on(node, shelf)
    await rows.read_many(["a", "b", "c"])
    await is_stale(rows, "c")
    shelf.version, shelf.queries = 2, []
    assert await rows.read_many(["a", "b", "c"]) == {"a": "a 1", "b": "b 1", "c": "c 1"}
    await until(lambda: len(shelf.queries) > 0)
    assert sorted(map(str, shelf.queries[0])) == ["a", "b", "c"]
    poll = AsyncPoll(10.0)
    while (await rows.read_many(["a"]))["a"] != "a 2":
        assert await poll.again()


@in_memory
async def test_a_bulk_refresh_that_fails_backs_off(node: Node) -> None:
    shelf = Shelf()
    rows = await rows_on(node, shelf)
    await rows.read_many(["a", "b"])
    await is_stale(rows, "b")
    shelf.fails, shelf.queries = True, []
    await rows.read_many(["a", "b"])
    await until(lambda: rows.place.core.stats.load_errors == 1)
    await until(lambda: not len(rows.place.node.process.flights))
    for _ in range(20):
        assert (await rows.read_many(["a", "b"]))["a"] == "a 1"
        assert await rows.read("b") == "b 1"
    assert len(shelf.queries) == 1


@either
@pytest.mark.parametrize("tiers", [("redis",), ("local", "redis")], ids=["far", "near and far"])
async def test_an_entry_is_refreshed_after_its_part_while_it_is_fresh(node: Node, tiers: tuple[Any, ...]) -> None:
    shelf = Shelf()
    options = RegionOptions(
        name="rows", tiers=tiers, ttl_s=600.0, refresh_at=0.00001, hot_keys=0 if len(tiers) == 1 else None
    )
    rows = await rows_on(node, shelf, options)
    assert await rows.read("k") == "k 1"
    shelf.version = 2
    poll = AsyncPoll(10.0)
    while await rows.read("k") != "k 2":
        assert await poll.again(), "its refresh was due after 6 ms"
    assert rows.place.core.stats.stale_served == 0, "it was fresh all the time"


@in_memory
async def test_before_its_part_is_over_nothing_is_refreshed(node: Node) -> None:
    shelf = Shelf()
    options = RegionOptions(name="rows", tiers=("redis",), ttl_s=600.0, refresh_at=0.9, hot_keys=0)
    rows = await rows_on(node, shelf, options)
    for _ in range(50):
        assert await rows.read("k") == "k 1"
    assert len(shelf.queries) == 1


def test_a_part_must_be_a_part_and_needs_the_far_tier() -> None:
    with pytest.raises(ConfigurationError, match=r"refresh_at=1\.0: must lie in \[0, 1\)"):
        RegionOptions(name="rows", refresh_at=1.0)
    with pytest.raises(ConfigurationError, match="needs the tier redis"):
        RegionOptions(name="rows", tiers=("local",), refresh_at=0.5)
