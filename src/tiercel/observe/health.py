"""
Health: is the process alive, may it be sent traffic, how is each tier, and what has the cache done about it by itself.

*live* fails only where the cache was closed: restarting helps nothing else. *ready* fails where requests would be
answered wrong or not at all. Redis and the CDN are never critical: without them the cache is degraded, and ready.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

import msgspec

from tiercel._core.durations import format_duration
from tiercel._core.journal import JournalStats
from tiercel._core.linkoptions import LinkHealth
from tiercel.observe.snapshot import Snapshot

__all__ = ["Health", "State", "TierHealth", "judge_health"]

State: TypeAlias = Literal["up", "degraded", "down"]

JOURNAL_LAG_S = 60.0
"""A journal older than this is degraded: its store takes writes too slowly, or not at all."""


class TierHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One tier, store or journal."""

    state: State
    reasons: list[str] = []


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """
    The whole cache.

    Attributes:
        live: The process is worth keeping.
        ready: It may be sent traffic.
        parts: By name: ``local``, each link, ``store NAME``, ``journal REGION``, ``backplane``.
        actions: What the cache does by itself at this moment, in words.
    """

    live: bool
    ready: bool
    parts: dict[str, TierHealth]
    actions: list[str]


def judge_health(
    snapshot: Snapshot, *, is_closed: bool = False, failed_stores: Mapping[str, str] | None = None
) -> Health:
    """
    Judge the figures of a moment.

    Args:
        snapshot: The figures.
        is_closed: The cache was closed.
        failed_stores: Stores that do not answer, and why; one of them makes the process not ready.
    """
    failed_stores = failed_stores or {}
    parts = {
        "local": TierHealth(state="down", reasons=["the cache was closed"]) if is_closed else TierHealth(state="up")
    }
    parts |= {name: _link_health(link) for name, link in snapshot.links.items()}
    parts |= {f"store {name}": TierHealth(state="down", reasons=[why]) for name, why in failed_stores.items()}
    parts |= {f"journal {region}": _journal_health(journal) for region, journal in snapshot.journals.items()}
    actions = [action for link in snapshot.links.values() for action in _link_actions(link)]
    actions += [_journal_action(region, journal) for region, journal in snapshot.journals.items() if journal.last_error]
    return Health(live=not is_closed, ready=not is_closed and not failed_stores, parts=parts, actions=actions)


def _link_health(link: LinkHealth) -> TierHealth:
    primaries = [node for node in link.nodes.values() if node.role == "primary"]
    reasons = [f"{node.name} is not connected: {node.last_error}" for node in primaries if not node.is_connected]
    reasons += [f"{node.name}: the breaker is {node.breaker}" for node in primaries if node.breaker != "closed"]
    if link.coverage < 1:
        reasons.append(f"{(1 - link.coverage) * 100:.1f} % of the key space has no server")
    serving = [node for node in primaries if node.is_connected and node.breaker == "closed"]
    if not serving:
        return TierHealth(state="down", reasons=reasons or ["no primary is known"])
    return TierHealth(state="degraded" if reasons else "up", reasons=reasons)


def _link_actions(link: LinkHealth) -> Iterator[str]:
    for node in link.nodes.values():
        if node.breaker == "open":
            yield f"calls to {node.name} are refused at once: reads go to the store within its fill budget"
        elif node.breaker == "half-open":
            yield f"probing {node.name}: some calls are let through"


def _journal_health(journal: JournalStats) -> TierHealth:
    reasons = []
    if journal.last_error:
        reasons.append(f"the last flush failed: {journal.last_error}")
    if journal.oldest_age_s > JOURNAL_LAG_S:
        reasons.append(f"the oldest write waits for {format_duration(round(journal.oldest_age_s, 1))}")
    if journal.dead:
        reasons.append(f"{journal.dead} dead letters wait for somebody")
    return TierHealth(state="degraded" if reasons else "up", reasons=reasons)


def _journal_action(region: str, journal: JournalStats) -> str:
    return f"writes of {region} are kept in the journal ({journal.depth} waiting) and tried again"
