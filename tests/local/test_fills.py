"""Loads that were overtaken: what was read before a change is not stored after it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tiercel.local import LocalTable, LocalView
from tiercel.typing import MISS

CHANGES: dict[str, Callable[[LocalView, LocalTable], object]] = {
    "set": lambda view, table: view.set("k", "newer", ttl_s=10),
    "delete": lambda view, table: view.delete("k"),
    "expire": lambda view, table: view.expire("k"),
    "clear": lambda view, table: view.clear(),
    "clear the region": lambda view, table: table.clear(),
}


@pytest.mark.parametrize("is_held", [True, False], ids=["held", "absent"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_during_the_load_voids_it(view: LocalView, table: LocalTable, change: str, is_held: bool) -> None:
    if is_held:
        view.set("k", "old", ttl_s=10)
    token = view.begin_fill("k")
    CHANGES[change](view, table)
    assert not view.commit_fill("k", token, "loaded before the change", ttl_s=10)
    assert view.get("k") in (MISS, "newer")


def test_an_undisturbed_load_is_stored_once(view: LocalView) -> None:
    token = view.begin_fill("k")
    assert view.commit_fill("k", token, 1, ttl_s=10)
    assert view.get("k") == 1
    assert not view.commit_fill("k", token, 2, ttl_s=10)


def test_other_keys_and_tenants_do_not_disturb(view: LocalView, table: LocalTable) -> None:
    token = view.begin_fill("k")
    view.delete("other")
    table.view("globex").delete("k")
    table.view("globex").clear()
    assert view.commit_fill("k", token, 1, ttl_s=10)


def test_two_loads_of_one_key_may_both_end(view: LocalView) -> None:
    first, second = view.begin_fill("k"), view.begin_fill("k")
    assert first != second
    assert view.commit_fill("k", second, 2, ttl_s=10)
    assert view.commit_fill("k", first, 1, ttl_s=10)


def test_an_abandoned_load_cannot_commit(view: LocalView) -> None:
    token = view.begin_fill("k")
    view.abandon_fill("k", token)
    view.abandon_fill("k", token)
    view.abandon_fill("k", 12345)
    assert not view.commit_fill("k", token, 1, ttl_s=10)


def test_an_epoch_bumped_during_the_load_makes_the_entry_suspect_from_birth(view: LocalView) -> None:
    token = view.begin_fill("k")
    view.bump_epoch()
    assert view.commit_fill("k", token, 1, ttl_s=10)
    assert view.get("k") is MISS
    entry = view.entry("k")
    assert entry is not None
    assert entry.is_suspect


def test_a_load_does_not_replace_a_newer_version(view: LocalView) -> None:
    view.set("k", "v2", ttl_s=10, version=2)
    token = view.begin_fill("k")
    assert not view.commit_fill("k", token, "v1", ttl_s=10, version=1)
    assert view.get("k") == "v2"


def test_forgotten_loads_are_bounded_and_fail_safe(view: LocalView) -> None:
    first = view.begin_fill("first")
    for number in range(65_536):
        view.begin_fill(f"k{number}")
    assert not view.commit_fill("first", first, 1, ttl_s=10)
