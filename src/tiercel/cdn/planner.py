"""
The planner: pending purges and a CDN's capabilities become the fewest requests that do the same.

Four pure steps. `express` rewrites what the CDN cannot name into what it can (a tag into the paths known to carry it).
`plan` then drops what another item covers, folds floods into something coarser, and packs the rest into requests within
what may be in progress. Folding fells more than was asked, so how soon it happens depends on the budget's state.

Nothing is ever cut: what does not fit now is *deferred* and stays pending; what cannot be expressed becomes a wider
purge. Cost: O(n log n) in the number of items.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tiercel.cdn.budget import BudgetState
from tiercel.cdn.capabilities import Capabilities
from tiercel.cdn.purge import PurgeItem

FOLD_AT: Mapping[BudgetState, int] = {"ok": 1000, "warn": 50, "limit": 2}
"""How many items of one folder or family become a single coarser one, by the budget's state."""

_ORDER = {"all": 0, "host": 1, "tag": 2, "prefix": 3, "path": 4}

Sources = dict[PurgeItem, set[PurgeItem]]


@dataclass(frozen=True, slots=True)
class InProgress:
    """What the CDN is still working on: all items, and the prefixes among them."""

    items: int = 0
    prefixes: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """One request: the items it names and, for each, the pending items that are done once it is."""

    items: tuple[PurgeItem, ...]
    askers: tuple[frozenset[PurgeItem], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Requests to send now, in order, and pending items that must wait for room."""

    batches: tuple[Batch, ...]
    deferred: frozenset[PurgeItem]

    @property
    def items(self) -> int:
        """How many items the CDN counts, and bills."""
        return sum(len(batch.items) for batch in self.batches)


def express(
    items: Iterable[PurgeItem], capabilities: Capabilities, find: Callable[[PurgeItem], Sequence[str] | None]
) -> tuple[PurgeItem, ...]:
    """
    Return *items* in words that the CDN understands, distinct and in order.

    Args:
        items: What was asked for.
        capabilities: What the CDN understands.
        find: Returns the paths that an item covers, or None where they are not all known; everything falls then.
    """
    expressed: list[PurgeItem] = []
    for item in items:
        plain = item if capabilities.soft else replace(item, soft=False)
        if _speaks(capabilities, item):
            expressed.append(plain)
            continue
        paths = find(item)
        if paths is None:
            expressed.append(PurgeItem("all", "", plain.soft))
        else:
            expressed += [PurgeItem("path", path, plain.soft) for path in paths]
    return tuple(dict.fromkeys(expressed))


def plan(
    pending: Iterable[PurgeItem],
    capabilities: Capabilities,
    *,
    state: BudgetState = "ok",
    in_progress: InProgress = InProgress(),
    fold_at: int | None = None,
) -> Plan:
    """
    Return the requests for *pending*, which the CDN understands already.

    Args:
        pending: Items, as `express` returns them.
        capabilities: Limits to stay within.
        state: The budget's; decides how soon floods are folded.
        in_progress: What the CDN has not finished yet.
        fold_at: Overrides `FOLD_AT`.
    """
    threshold = FOLD_AT[state] if fold_at is None else fold_at
    sources: Sources = {item: {item} for item in pending}
    sources = fold_tags(cover(sources), threshold)
    if capabilities.prefixes:
        sources = cover(fold_paths(sources, threshold))
    return _pack(sources, capabilities, in_progress)


def cover(sources: Sources) -> Sources:
    """Return *sources* without the items that another one covers; their askers move over to it."""
    kept: Sources = {}
    prefixes = {
        soft: _shortest(item.value for item in sources if item.kind == "prefix" and item.soft <= soft)
        for soft in (False, True)
    }
    everything = {soft: any(item.kind == "all" and item.soft <= soft for item in sources) for soft in (False, True)}
    for item, askers in sources.items():
        wider = _wider(item, prefixes, everything, sources)
        kept.setdefault(wider, set()).update(askers)
    return kept


def fold_tags(sources: Sources, threshold: int) -> Sources:
    """Return *sources* with every *threshold* or more tags of one family folded into the family's tag."""
    groups: dict[PurgeItem, list[PurgeItem]] = {}
    for item in sources:
        if item.kind == "tag" and item.group and item.value != item.group:
            groups.setdefault(PurgeItem("tag", item.group, item.soft), []).append(item)
    return _fold(sources, groups, threshold)


def fold_paths(sources: Sources, threshold: int) -> Sources:
    """
    Return *sources* with every *threshold* or more paths of one folder folded into a prefix; never into the whole
    site.
    """
    groups: dict[PurgeItem, list[PurgeItem]] = {}
    for item in sources:
        folder = item.value.split("?", 1)[0].rsplit("/", 1)[0] + "/"
        if item.kind == "path" and folder != "/":
            groups.setdefault(PurgeItem("prefix", folder, item.soft), []).append(item)
    return _fold(sources, groups, threshold)


def _fold(sources: Sources, groups: Mapping[PurgeItem, list[PurgeItem]], threshold: int) -> Sources:
    folded = dict(sources)
    for wide, members in groups.items():
        if len(members) >= threshold:
            askers = set().union(*(folded.pop(member) for member in members))
            folded[wide] = folded.get(wide, set()) | askers
    return folded


def _speaks(capabilities: Capabilities, item: PurgeItem) -> bool:
    able = {"tag": capabilities.tags, "prefix": capabilities.prefixes, "host": capabilities.hosts}
    return able.get(item.kind, True)


def _shortest(values: Iterable[str]) -> list[str]:
    shortest: list[str] = []
    for value in sorted(values):
        if not shortest or not value.startswith(shortest[-1]):
            shortest.append(value)
    return shortest


def _wider(
    item: PurgeItem, prefixes: Mapping[bool, list[str]], everything: Mapping[bool, bool], sources: Sources
) -> PurgeItem:
    # A hard purge covers a soft one of the same thing, never the other way round.
    if everything[item.soft]:
        hard = PurgeItem("all", "", False)
        return hard if hard in sources or not item.soft else PurgeItem("all", "", True)
    if item.kind in ("path", "prefix"):
        for prefix in _covering(prefixes[item.soft], item.value):
            hard = PurgeItem("prefix", prefix, False)
            return hard if hard in sources or not item.soft else PurgeItem("prefix", prefix, True)
    hard = replace(item, soft=False)
    return hard if hard in sources else item


def _covering(prefixes: Sequence[str], value: str) -> list[str]:
    place = bisect_right(prefixes, value)
    return [prefixes[place - 1]] if place and value.startswith(prefixes[place - 1]) else []


def _pack(sources: Sources, capabilities: Capabilities, in_progress: InProgress) -> Plan:
    items_left = _room(capabilities.items_in_progress, in_progress.items)
    prefixes_left = _room(capabilities.prefixes_in_progress, in_progress.prefixes)
    lots: dict[tuple[str, bool], list[PurgeItem]] = {}
    deferred: set[PurgeItem] = set()
    for item in sorted(sources, key=lambda item: (_ORDER[item.kind], item)):
        wildcard = item.kind in ("prefix", "all")
        if items_left < 1 or (wildcard and prefixes_left < 1):
            deferred |= sources[item]
            continue
        items_left -= 1
        prefixes_left -= wildcard
        lots.setdefault(("" if capabilities.mixed else item.kind, item.soft), []).append(item)
    chunks: list[tuple[PurgeItem, ...]] = []
    for (kind, _), lot in lots.items():
        size = 1 if kind in capabilities.alone else capabilities.batch_items
        chunks += [tuple(lot[start : start + size]) for start in range(0, len(lot), size)]
    batches = tuple(Batch(chunk, tuple(frozenset(sources[item]) for item in chunk)) for chunk in chunks)
    return Plan(batches, frozenset(deferred))


def _room(limit: int | None, used: int) -> float:
    return float("inf") if limit is None else max(0, limit - used)
