# Generated from src/tiercel/_async/policyshadow.py by tools/unasync.py. Do not edit.
"""
Shadow comparisons: a part of the hits is held against the store in the background, and what differs is counted.

A hit itself is never delayed. Hits that leave the process are sampled one by one; plain local hits, which nothing looks
at, are represented by keys that were put into the local tier, as many as the local tier's own count of hits asks for.
What differs is looked at again a second later, so that a write on its way is no mismatch. All of it is bounded: in
memory by fixed queues, at the store by ``shadow_rate`` and the store's own gate.
"""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from tiercel._sync.looker import Looker
from tiercel._sync.node import Node, Place, RegionCore
from tiercel._core.copy import NEGATIVE
from tiercel._core.policynotes import ShadowCount
from tiercel._paired import Event, Job, spawn
from tiercel.typing import DELETED, Key

__all__ = ["Shadow"]

ROUND_S: Final = 0.25
IDLE_S: Final = 60.0
CONFIRM_S: Final = 1.0
MOST_WAITING: Final = 256
MOST_KEPT: Final = 4096


class Suspect(NamedTuple):
    """A hit that differed once: looked at again at *due_s*, and a mismatch if the same value is still there."""

    due_s: float
    place: Place
    key: Key
    value: Any


class RegionShadow:
    """What waits to be compared of one region, and what came of it."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Place, Key]] = deque()
        self.kept: OrderedDict[tuple[str, Key], Place] = OrderedDict()
        self.suspects: deque[Suspect] = deque()
        self.compared = self.mismatched = self.skipped = self.failed = 0
        self.local_hits = -1
        self.owed = self.allowance = 0.0

    def count(self) -> ShadowCount:
        """Return the counts so far."""
        return ShadowCount(compared=self.compared, mismatched=self.mismatched, skipped=self.skipped, failed=self.failed)


class Shadow:
    """
    Compares for all regions of one node.

    Args:
        node: The node.
        cores: Its regions; those without a store are never compared.
    """

    def __init__(self, node: Node, cores: Mapping[str, RegionCore]) -> None:
        self._node = node
        self._cores = cores
        self._regions: dict[str, RegionShadow] = {}
        self._wake = Event()
        self._is_stopping = False
        self._looked_at_s = node.process.clock.monotonic()
        self._job: Job | None = None

    def follow(self) -> None:
        """Watch the regions whose plans ask for it, and no others; called after plans were swapped."""
        for name, core in self._cores.items():
            is_watched = core.plan.options.shadow_share > 0 and core.store is not None and not core.is_derived_behind
            core.watcher = self if is_watched else None
            if is_watched:
                self._regions.setdefault(name, RegionShadow())
        self._wake.set()

    def start(self) -> None:
        """Compare in the background; idle while no region asks for it."""
        self._job = spawn("tiercel-shadow", self._run)

    def close(self) -> None:
        """Stop."""
        self._is_stopping = True
        for core in self._cores.values():
            core.watcher = None
        self._wake.set()
        if self._job is not None:
            self._job.join(5.0)

    def counts(self) -> dict[str, ShadowCount]:
        """Return what was compared so far, by region."""
        return {name: found.count() for name, found in self._regions.items()}

    # What readers tell, on their own way: never blocks, and costs a random number.

    def saw(self, place: Place, key: Key) -> None:
        """Take note of a hit that some tier beyond the plain local hit served."""
        if random.random() >= place.core.plan.options.shadow_share:
            return
        region = self._regions[place.core.options.name]
        if len(region.waiting) < MOST_WAITING:
            region.waiting.append((place, key))
        else:
            region.skipped += 1

    def kept(self, place: Place, key: Key) -> None:
        """Take note of a key that the local tier now holds: its hits will not be told."""
        kept = self._regions[place.core.options.name].kept
        kept[place.tenant, key] = place
        if len(kept) > MOST_KEPT:
            kept.popitem(last=False)

    # Comparing.

    def _run(self) -> None:
        while not self._is_stopping:
            is_idle = all(core.watcher is None for core in self._cores.values())
            self._wake.wait_for(IDLE_S if is_idle else ROUND_S)
            self._wake.clear()
            if not self._is_stopping:
                self.turn()

    def turn(self) -> None:
        """Compare what is due, as much as the time since the last turn allows."""
        now_s = self._node.process.clock.monotonic()
        passed_s, self._looked_at_s = now_s - self._looked_at_s, now_s
        for name, core in self._cores.items():
            if core.watcher is not None:
                self._compare_region(core, self._regions[name], passed_s, now_s)

    def _compare_region(self, core: RegionCore, region: RegionShadow, passed_s: float, now_s: float) -> None:
        rate = core.plan.options.shadow_rate
        region.allowance = min(max(rate, 1.0), region.allowance + rate * passed_s)
        self._draw_local(core, region)
        while region.allowance >= 1 and not self._is_stopping:
            if region.suspects and region.suspects[0].due_s <= now_s:
                suspect = region.suspects.popleft()
                self._compared(region, suspect.place, suspect.key, suspect)
            elif region.waiting:
                self._compared(region, *region.waiting.popleft(), None)
            else:
                return
            region.allowance -= 1

    def _draw_local(self, core: RegionCore, region: RegionShadow) -> None:
        """Add as many of the kept keys as local hits since the last turn ask for."""
        if core.table is None:
            return
        hits = core.table.stats().hits
        passed, region.local_hits = hits - region.local_hits if region.local_hits >= 0 else 0, hits
        region.owed += passed * core.plan.options.shadow_share
        wanted, room = int(region.owed), MOST_WAITING - len(region.waiting)
        region.owed -= wanted
        keys = list(region.kept)
        for _ in range(min(wanted, room) if keys else 0):
            tenant, key = random.choice(keys)
            region.waiting.append((region.kept[tenant, key], key))
        region.skipped += max(0, wanted - room)

    def _compared(self, region: RegionShadow, place: Place, key: Key, suspect: Suspect | None) -> None:
        try:
            held = self._held(place, key)
            if held is None:
                return
            tier, value = held
            row = self._row(place, key)
        except Exception as error:  # a comparison is nobody's read: its failure is counted, and told without the key
            region.failed += 1
            self._node.recorder.event("shadow_failed", region=place.core.options.name, why=type(error).__name__)
            return
        if suspect is None:
            region.compared += 1
        if _plain(place, value) == _plain(place, row):
            return
        if suspect is None:
            due_s = self._node.process.clock.monotonic() + CONFIRM_S
            if len(region.suspects) < MOST_WAITING:
                region.suspects.append(Suspect(due_s, place, key, value))
        elif _plain(place, value) == _plain(place, suspect.value):
            region.mismatched += 1
            self._node.recorder.event(
                "shadow_mismatch", region=place.core.options.name, tier=tier, tenant=place.tenant, key=key
            )

    def _held(self, place: Place, key: Key) -> tuple[str, Any] | None:
        """Return what a read would be served now, and by which tier; counts as no read."""
        entry = place.view.entry(key) if place.view is not None else None
        if entry is not None and not entry.is_suspect and entry.fresh_until > self._node.process.clock.monotonic():
            return "local", entry.value
        far, region = place.far_for(key), place.core.options.name
        frame = far.get(place.name(key)) if far is not None else None
        if far is None or frame is None or not frame.has_body:
            return None
        if not self._node.tags.hold(place.tenant, region, frame.tags, place.core.tag_life_ms):
            return None
        copy = Looker(place).copy_of(frame)
        return (far.name, copy.value) if copy is not None and copy.is_fresh else None

    def _row(self, place: Place, key: Key) -> Any:
        """Return the newest row: a write that waits in the journal, else the store's; NEGATIVE where there is none."""
        core = place.core
        pending = None if core.behind is None else core.behind.pending(place.tenant, key)
        assert core.store is not None
        row = pending if pending is not None else core.store.read(place.tenant, key)
        return NEGATIVE if row is None or row.value is DELETED else row.value


def _plain(place: Place, value: Any) -> Any:
    """Return *value* as it comes out of the tiers, so that a tuple and the list that it became are the same."""
    codec = place.core.codec
    return value if value is NEGATIVE else codec.decode_plain(codec.encode_plain(value))
