"""Mass invalidation by epoch, and proof that a suspect entry is current after all."""

from __future__ import annotations

import pytest

from tiercel.local import LocalTable, LocalTier, LocalView
from tiercel.options import LocalOptions
from tiercel.typing import MISS


@pytest.mark.parametrize("level", ["tier", "table", "view"])
def test_every_level_makes_its_entries_suspect(tier: LocalTier, table: LocalTable, level: str) -> None:
    views = {
        "same": table.view("acme"),
        "other tenant": table.view("globex"),
        "other region": tier.table("other", LocalOptions()).view("acme"),
    }
    for view in views.values():
        view.set("k", 1, ttl_s=10)
    {"tier": tier.bump_epoch, "table": table.bump_epoch, "view": views["same"].bump_epoch}[level]()
    suspect = {name for name, view in views.items() if view.get("k") is MISS}
    expected = {"tier": set(views), "table": {"same", "other tenant"}, "view": {"same"}}
    assert suspect == expected[level]


def test_a_suspect_is_kept_and_served_again_once_proved(view: LocalView) -> None:
    view.set("k", 1, ttl_s=10, tags=((1, 2),))
    view.bump_epoch()
    entry = view.entry("k")
    assert entry is not None
    assert entry.is_suspect
    assert view.restamp("k", entry)
    assert view.get("k") == 1


def test_a_proof_holds_up_to_the_look_and_no_further(view: LocalView, table: LocalTable) -> None:
    # 1. epoch bumped; 2. the entry is looked at and its tags are asked for; 3. the epoch is bumped again;
    # 4. the answer, from before 3, says that the entry is current: it must stay suspect.
    view.set("k", 1, ttl_s=10)
    table.bump_epoch()
    entry = view.entry("k")
    table.bump_epoch()
    assert entry is not None
    assert not view.restamp("k", entry)
    assert view.get("k") is MISS


def test_a_proof_of_one_body_does_not_vouch_for_another(view: LocalView) -> None:
    view.set("k", "old", ttl_s=10, tags=((1, 2),))
    view.bump_epoch()
    entry = view.entry("k")
    token = view.begin_fill("k")
    view.bump_epoch()
    assert entry is not None
    assert view.commit_fill("k", token, "new", ttl_s=10, tags=((1, 3),))
    assert not view.restamp("k", entry)
    assert view.get("k") is MISS


def test_entries_set_after_the_bump_are_current(view: LocalView) -> None:
    view.bump_epoch()
    view.set("k", 1, ttl_s=10)
    assert view.get("k") == 1


def test_touch_and_ttl_ignore_suspects(view: LocalView) -> None:
    view.set("k", 1, ttl_s=10)
    view.bump_epoch()
    assert view.ttl("k") is None
    assert not view.touch("k", 10)
