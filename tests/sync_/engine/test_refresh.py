# Generated from tests/async_/engine/test_refresh.py by tools/unasync.py. Do not edit.
"""
Refreshes ahead of the end: by a part of the ttl, and many keys that fall due together in one load.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.sync_.engine.conftest import Node, until
from tiercel import Region, ConfigurationError, RegionOptions
from tiercel._sync import loads
from tiercel._core.windows import is_past_part
from tiercel._paired import Poll
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

    def read(self, tenant: str, key: Key) -> Record | None:
        return (self.read_many(tenant, [key]))[key]

    def read_many(self, tenant: str, keys: Sequence[Key]) -> dict[Key, Record]:
        self.queries.append(list(keys))
        if self.fails:
            raise ConnectionError("down")
        return {key: Record(f"{key!s} {self.version}", self.version) for key in keys}

    def write(self, change: Change, *, guard: bool = False) -> Any:
        raise AssertionError("nobody writes here")

    def write_many(self, changes: Sequence[Change], *, guard: bool = False) -> Any:
        raise AssertionError("nobody writes here")

    def ping(self) -> None:
        return None

    def close(self) -> None:
        return None


def rows_on(node: Node, shelf: Shelf, options: RegionOptions = ROWS) -> Region:
    return (node(stores={"rows": shelf}, rows=options)).tenant("acme").region("rows")


def is_stale(rows: Region, key: str) -> None:
    poll = Poll(10.0)
    while rows.holds(key):
        assert poll.again()


def test_a_part_of_the_ttl() -> None:
    assert not is_past_part(26.0, 100.0, 0.75)
    assert is_past_part(25.0, 100.0, 0.75)
    assert not is_past_part(0.0, 100.0, 0.0), "off"


@either
def test_what_falls_due_together_is_loaded_in_one_call(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loads, "GATHER_S", 0.1)
    shelf = Shelf()
    rows = rows_on(node, shelf)
    keys = [f"k{number}" for number in range(10)]
    rows.read_many(keys)
    is_stale(rows, "k9")
    shelf.version, shelf.queries = 2, []
    answers = [rows.read(key) for key in keys]
    assert answers == [f"{key} 1" for key in keys], "stale at once"
    until(lambda: len(shelf.queries) > 0)
    assert sorted(map(str, shelf.queries[0])) == keys, "the naive way asks the store ten times"


@either
def test_many_stale_keys_are_served_at_once_and_renewed_in_one_call(node: Node) -> None:
    shelf = Shelf()
    rows = rows_on(node, shelf)
    rows.read_many(["a", "b", "c"])
    is_stale(rows, "c")
    shelf.version, shelf.queries = 2, []
    assert rows.read_many(["a", "b", "c"]) == {"a": "a 1", "b": "b 1", "c": "c 1"}
    until(lambda: len(shelf.queries) > 0)
    assert sorted(map(str, shelf.queries[0])) == ["a", "b", "c"]
    poll = Poll(10.0)
    while (rows.read_many(["a"]))["a"] != "a 2":
        assert poll.again()


@in_memory
def test_a_bulk_refresh_that_fails_backs_off(node: Node) -> None:
    shelf = Shelf()
    rows = rows_on(node, shelf)
    rows.read_many(["a", "b"])
    is_stale(rows, "b")
    shelf.fails, shelf.queries = True, []
    rows.read_many(["a", "b"])
    until(lambda: rows.place.core.stats.load_errors == 1)
    until(lambda: not len(rows.place.node.process.flights))
    for _ in range(20):
        assert (rows.read_many(["a", "b"]))["a"] == "a 1"
        assert rows.read("b") == "b 1"
    assert len(shelf.queries) == 1


@either
@pytest.mark.parametrize("tiers", [("redis",), ("local", "redis")], ids=["far", "near and far"])
def test_an_entry_is_refreshed_after_its_part_while_it_is_fresh(node: Node, tiers: tuple[Any, ...]) -> None:
    shelf = Shelf()
    options = RegionOptions(
        name="rows", tiers=tiers, ttl_s=600.0, refresh_at=0.00001, hot_keys=0 if len(tiers) == 1 else None
    )
    rows = rows_on(node, shelf, options)
    assert rows.read("k") == "k 1"
    shelf.version = 2
    poll = Poll(10.0)
    while rows.read("k") != "k 2":
        assert poll.again(), "its refresh was due after 6 ms"
    assert rows.place.core.stats.stale_served == 0, "it was fresh all the time"


@in_memory
def test_before_its_part_is_over_nothing_is_refreshed(node: Node) -> None:
    shelf = Shelf()
    options = RegionOptions(name="rows", tiers=("redis",), ttl_s=600.0, refresh_at=0.9, hot_keys=0)
    rows = rows_on(node, shelf, options)
    for _ in range(50):
        assert rows.read("k") == "k 1"
    assert len(shelf.queries) == 1


def test_a_part_must_be_a_part_and_needs_the_far_tier() -> None:
    with pytest.raises(ConfigurationError, match=r"refresh_at=1\.0: must lie in \[0, 1\)"):
        RegionOptions(name="rows", refresh_at=1.0)
    with pytest.raises(ConfigurationError, match="needs the tier redis"):
        RegionOptions(name="rows", tiers=("local",), refresh_at=0.5)
