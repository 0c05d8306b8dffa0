"""What a view stores, serves, keeps stale and forgets."""

from __future__ import annotations

import enum
import math
from typing import Any

import pytest

from tiercel._core.clock import ManualClock
from tiercel.errors import KeyRefused
from tiercel.local import LocalTable, LocalView
from tiercel.local.weigh import weigh_stamps
from tiercel.typing import MISS


def test_a_value_is_served_until_its_ttl_ends(view: LocalView, clock: ManualClock) -> None:
    assert view.set("k", "v", ttl_s=10)
    assert view.get("k") == "v"
    clock.advance(9.999)
    assert view.get("k") == "v"
    clock.advance(0.001)
    assert view.get("k") is MISS


@pytest.mark.parametrize("value", [None, 0, "", False, [], MISS.__class__], ids=repr)
def test_any_object_is_a_value(view: LocalView, value: object) -> None:
    view.set("k", value, ttl_s=1)
    assert view.get("k") is value


def test_text_and_bytes_of_the_same_letters_are_two_keys(view: LocalView) -> None:
    view.set("k", "text", ttl_s=1)
    view.set(b"k", "bytes", ttl_s=1)
    assert (view.get("k"), view.get(b"k")) == ("text", "bytes")


@pytest.mark.parametrize("key", ["", "a", "é", "Ж" * 40, "日本", "🦅", "a🦅", b"", b"\xff\x00", "x" * 100_000])
def test_keys_of_every_kind_of_text(view: LocalView, key: str | bytes) -> None:
    view.set(key, 1, ttl_s=1)
    copy = (key + "x")[:-1] if isinstance(key, str) else bytes(bytearray(key))
    assert view.get(copy) == 1
    assert view.delete(copy)
    assert view.get(key) is MISS


def test_a_subclass_counts_as_the_text_that_it_holds(view: LocalView) -> None:
    class Kind(enum.StrEnum):
        CARD = "card"

    class Raw(bytes):
        pass

    view.set(Kind.CARD, 1, ttl_s=1)
    view.set(Raw(b"card"), 2, ttl_s=1)
    assert (view.get("card"), view.get(Kind.CARD)) == (1, 1)
    assert (view.get(b"card"), view.get(Raw(b"card"))) == (2, 2)


@pytest.mark.parametrize("key", [1, None, 1.5, ("a",)])
def test_other_keys_are_refused(view: LocalView, key: Any) -> None:
    for act in (view.get, view.delete, view.expire, view.ttl, view.entry, view.begin_fill):
        with pytest.raises(KeyRefused, match=type(key).__name__):
            act(key)
    with pytest.raises(KeyRefused):
        view.set(key, 1, ttl_s=1)


def test_tenants_do_not_meet(table: LocalTable) -> None:
    acme, globex = table.view("acme"), table.view("globex")
    acme.set("k", "acme's", ttl_s=1)
    assert globex.get("k") is MISS
    assert not globex.delete("k")
    assert acme.get("k") == "acme's"
    assert table.view("acme") is acme


def test_get_many_leaves_misses_out(view: LocalView) -> None:
    view.set("a", None, ttl_s=1)
    view.set(b"b", 2, ttl_s=1)
    assert view.get_many(["a", b"b", "c"]) == {"a": None, b"b": 2}
    assert view.get_many(iter(())) == {}


@pytest.mark.parametrize("ttl_s", [0, -1, math.nan])
def test_a_value_without_time_is_not_stored_and_ends_the_old_one(view: LocalView, ttl_s: float) -> None:
    view.set("k", "old", ttl_s=10)
    assert not view.set("k", "new", ttl_s=ttl_s)
    assert view.get("k") is MISS


def test_an_endless_ttl(view: LocalView, clock: ManualClock) -> None:
    view.set("k", 1, ttl_s=math.inf)
    clock.advance(1e12)
    assert view.get("k") == 1


def test_a_stale_body_is_kept_for_its_time(view: LocalView, clock: ManualClock) -> None:
    view.set("k", "v", ttl_s=10, keep_s=5)
    clock.advance(12)
    assert view.get("k") is MISS
    entry = view.entry("k")
    assert entry is not None
    assert entry.is_stale(clock.monotonic())
    assert not entry.is_fresh(clock.monotonic())
    assert entry.value == "v"
    clock.advance(3)
    assert view.entry("k") is None


def test_expire_keeps_the_body_and_delete_does_not(view: LocalView, clock: ManualClock) -> None:
    for key in ("expired", "deleted"):
        view.set(key, "v", ttl_s=10, keep_s=5)
    assert view.expire("expired")
    assert view.delete("deleted")
    assert (view.get("expired"), view.get("deleted")) == (MISS, MISS)
    entry = view.entry("expired")
    assert entry is not None
    assert entry.stale_until == clock.monotonic() + 5
    assert view.entry("deleted") is None
    assert not view.expire("deleted")
    assert not view.delete("deleted")


def test_expire_destroys_what_is_not_kept(view: LocalView) -> None:
    view.set("k", "v", ttl_s=10)
    assert view.expire("k")
    assert view.entry("k") is None


def test_an_entry_tells_all(view: LocalView, clock: ManualClock) -> None:
    tags = ((1, 2**64 - 1),)
    view.set("k", "v", ttl_s=10, keep_s=5, version=7, tags=tags, weight=300)
    entry = view.entry("k")
    assert entry is not None
    assert (entry.value, entry.version, entry.tags, entry.weight) == (
        "v",
        7,
        tags,
        300 + weigh_stamps(1, has_extra=True),
    )
    assert entry.fresh_until == clock.monotonic() + 10
    assert entry.stale_until == clock.monotonic() + 15
    assert not entry.is_suspect


def test_an_older_version_never_replaces_a_newer_one(view: LocalView, clock: ManualClock) -> None:
    view.set("k", "v5", ttl_s=10, version=5)
    assert not view.set("k", "v4", ttl_s=10, version=4)
    assert view.get("k") == "v5"
    assert view.set("k", "v5 again", ttl_s=10, version=5)
    assert view.set("k", "unversioned", ttl_s=10)
    assert view.get("k") == "unversioned"
    view.set("k", "v6", ttl_s=10, version=6)
    clock.advance(10)
    assert view.set("k", "v4", ttl_s=10, version=4), "what is dead guards nothing"


def test_touch_and_ttl(view: LocalView, clock: ManualClock) -> None:
    assert view.ttl("k") is None
    assert not view.touch("k", 10)
    view.set("k", "v", ttl_s=10)
    clock.advance(4)
    assert view.ttl("k") == 6
    assert view.touch("k", 20)
    assert view.ttl("k") == 20
    assert not view.touch("k", 0)
    clock.advance(20)
    assert view.ttl("k") is None
    assert not view.touch("k", 10)


def test_clear_empties_one_tenant_or_the_region(table: LocalTable) -> None:
    acme, globex = table.view("acme"), table.view("globex")
    for view in (acme, globex):
        view.set("k", 1, ttl_s=1)
    acme.clear()
    assert (acme.get("k"), globex.get("k")) == (MISS, 1)
    table.clear()
    assert globex.get("k") is MISS
    assert table.stats().entries == 0
    assert table.stats().size_bytes == 0


def test_counters(table: LocalTable, clock: ManualClock) -> None:
    view = table.view("acme")
    view.get("k")
    view.set("k", 1, ttl_s=1)
    view.get("k")
    view.bump_epoch()
    view.get("k")
    clock.advance(1)
    view.get("k")
    view.set("k", 1, ttl_s=0)
    stats = table.stats()
    assert (stats.hits, stats.misses, stats.sets, stats.expirations) == (1, 3, 1, 1)
    assert (stats.suspects, stats.rejections, stats.entries) == (1, 1, 0)
    assert stats.hit_ratio == 0.25
    assert stats.tenants["acme"].misses == 3


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [(["k"], {}), (["k", 1], {}), (["k", 1], {"ttl_s": "x"}), (["k", 1], {"ttl_s": 1, "colour": 2})],
)
def test_wrong_arguments_are_type_errors(view: Any, args: list[Any], kwargs: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        view.set(*args, **kwargs)
    assert view.get("k") is MISS
