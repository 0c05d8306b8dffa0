"""Health: live, ready and each part, with reasons; Redis is never critical."""

from __future__ import annotations

from tests.observe.figures import journal, link, node, snapshot
from tiercel.observe.health import judge_health


def test_a_sound_cache() -> None:
    health = judge_health(snapshot(journals={"product": journal(dead=0)}))
    assert (health.live, health.ready, health.actions) == (True, True, [])
    assert {name: part.state for name, part in health.parts.items()} == {
        "local": "up",
        "redis": "up",
        "journal product": "up",
    }


def test_redis_away_is_degraded_and_ready() -> None:
    away = link(node(is_connected=False, breaker="open", last_error="refused"))
    health = judge_health(snapshot(links={"redis": away}))
    assert (health.live, health.ready) == (True, True)
    assert health.parts["redis"].state == "down"
    assert health.parts["redis"].reasons == [
        "127.0.0.1:6379 is not connected: refused",
        "127.0.0.1:6379: the breaker is open",
    ]
    assert health.actions == [
        "calls to 127.0.0.1:6379 are refused at once: reads go to the store within its fill budget"
    ]


def test_one_node_of_several_is_degraded() -> None:
    some = link(node("a:1"), node("b:1", breaker="half-open"), node("c:1", role="replica", is_connected=False))
    health = judge_health(snapshot(links={"redis": some}))
    assert health.parts["redis"].state == "degraded"
    assert health.parts["redis"].reasons == ["b:1: the breaker is half-open"]
    assert health.actions == ["probing b:1: some calls are let through"]


def test_lost_slots_are_named() -> None:
    health = judge_health(snapshot(links={"redis": link(coverage=0.5)}))
    assert health.parts["redis"].reasons == ["50.0 % of the key space has no server"]


def test_a_store_that_fails_makes_it_not_ready() -> None:
    health = judge_health(snapshot(), failed_stores={"product": "connection refused"})
    assert (health.live, health.ready) == (True, False)
    assert health.parts["store product"].reasons == ["connection refused"]


def test_a_journal_says_what_is_wrong_and_what_happens() -> None:
    health = judge_health(snapshot(journals={"product": journal(oldest_age_s=90, dead=3, last_error="no route")}))
    assert health.parts["journal product"].state == "degraded"
    assert len(health.parts["journal product"].reasons) == 3
    assert health.actions == ["writes of product are kept in the journal (12 waiting) and tried again"]


def test_a_closed_cache_is_neither_live_nor_ready() -> None:
    health = judge_health(snapshot(), is_closed=True)
    assert (health.live, health.ready, health.parts["local"].state) == (False, False, "down")
