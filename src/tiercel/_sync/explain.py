# Generated from src/tiercel/_async/explain.py by tools/unasync.py. Do not edit.
"""
Explaining a key: what every tier holds of it, and why a read would hit, miss or be stale.
"""

from __future__ import annotations

from typing import Any

from tiercel._sync.looker import Looker
from tiercel._sync.node import Place
from tiercel._core.frame import Frame
from tiercel._core.gutter import GutterFrame
from tiercel.errors import TierError
from tiercel.typing import Key


def explain(place: Place, looker: Looker, key: Key) -> dict[str, Any]:
    """
    Return what is known of *key*: one section a tier, pending writes, last events, and a verdict in words.

    It changes nothing but the memo of tag tokens, and counts as no read.
    """
    sections: dict[str, Any] = {
        "region": place.core.options.name,
        "tenant": place.tenant,
        "name": place.name(key).decode("utf-8", "replace"),
        "in_flight": place.flight_key(key) in place.node.process.flights,
    }
    if place.core.plan.off:
        sections["switches"] = [str(switch) for switch in place.core.plan.off if switch.covers(place.tenant, key)]
    if place.view is not None:
        sections["local"] = _local(place, key)
    if place.core.hot is not None:
        sections["hot"] = _hot(place, key)
    if place.core.far is not None:
        sections["redis"] = _far(place, looker, key)
    if place.core.behind is not None:
        pending = place.core.behind.pending(place.tenant, key)
        sections["pending_write"] = None if pending is None else {"version": pending.version}
    sections["events"] = [
        {"at_s": event.at_s, "name": event.name, **event.fields}
        for event in place.node.recorder.events_for(place.core.options.name, place.tenant, key)
    ]
    sections["verdict"] = _verdict(sections)
    return sections


def _hot(place: Place, key: Key) -> dict[str, Any]:
    hot, view = place.core.hot, place.hot_view
    assert hot is not None
    assert view is not None
    entry = view.entry(key)
    now = place.node.process.clock.monotonic()
    return {
        "is_promoted": hot.is_promoted(place.tenant, key),
        "reads": next((found.reads for found in hot.hottest() if (found.tenant, found.key) == (place.tenant, key)), 0),
        "kept_for_s": round(entry.fresh_until - now, 3) if entry is not None and entry.is_fresh(now) else 0.0,
    }


def _local(place: Place, key: Key) -> dict[str, Any]:
    view = place.view
    assert view is not None
    entry = view.entry(key)
    if entry is None:
        return {"state": "absent"}
    now = place.node.process.clock.monotonic()
    held = place.node.tags.hold_by_memo(place.tenant, place.core.options.name, entry.tags)
    state = "suspect" if entry.is_suspect else "fresh" if entry.is_fresh(now) else "stale"
    return {
        "state": state,
        "fresh_for_s": round(entry.fresh_until - now, 3),
        "kept_for_s": round(entry.stale_until - now, 3),
        "version": entry.version,
        "tags": len(entry.tags),
        "tags_hold": {True: "yes", False: "no", None: "unknown here"}[held],
    }


def _far(place: Place, looker: Looker, key: Key) -> dict[str, Any]:
    far = place.core.far
    assert far is not None
    try:
        frame = far.get(place.name(key))
        if frame is None:
            return {"state": "absent"}
        held = frame.has_body and place.node.tags.hold(
            place.tenant, place.core.options.name, frame.tags, place.core.tag_life_ms
        )
    except TierError as error:
        return {"state": "unreachable", "why": str(error)}
    return _described(frame, held, far.now_ms(), looker)


def _described(frame: Frame, held: bool, now_ms: int, looker: Looker) -> dict[str, Any]:
    copy = looker.copy_of(frame) if held else None
    return {
        "state": frame.state.name.lower(),
        "served_as": copy.freshness.value if copy is not None else "miss",
        "age_s": round((now_ms - frame.created_ms) / 1000, 3) if frame.created_ms else None,
        "fresh_for_s": round((frame.fresh_until_ms - now_ms) / 1000, 3) if frame.fresh_until_ms else None,
        "version": frame.version,
        "floor": frame.floor,
        "size_bytes": len(frame.payload),
        "load_cost_s": frame.load_cost_us / 1e6,
        "leased": bool(frame.lease_token) and frame.lease_until_ms > now_ms,
        "tags": len(frame.tags),
        "tags_hold": "yes" if held else "no" if frame.has_body else "no body",
        "negative": frame.is_negative,
        "from_gutter": isinstance(frame, GutterFrame),
    }


def _verdict(sections: dict[str, Any]) -> str:
    local, far = sections.get("local", {}), sections.get("redis", {})
    if sections.get("hot", {}).get("kept_for_s"):
        return "hit in this process: the key is hot"
    if sections.get("pending_write"):
        return "a write of this key waits in the journal; reads see it"
    if local.get("state") == "fresh":
        return "hit in the local tier"
    if local.get("state") == "suspect" and local.get("tags_hold") == "yes":
        return "hit in the local tier after its tags are checked"
    if far.get("served_as") == "fresh":
        return "hit in the gutter, for Redis is away" if far["from_gutter"] else "hit in Redis"
    if far.get("served_as") in ("stale", "kept"):
        return f"stale in Redis ({far['served_as']}): served while a load runs, or if it fails"
    if far.get("state") == "tombstone":
        return "miss: it was invalidated"
    if far.get("state") == "leased" or far.get("leased"):
        return "miss: a load of it is under way"
    if far.get("tags_hold") == "no":
        return "miss: one of its tags was invalidated"
    if far.get("state") == "unreachable":
        return "miss: Redis does not answer"
    return "miss: no tier holds it"
