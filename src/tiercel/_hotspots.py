"""
Hot spots: which keys of a region without local copies are read so often that this process keeps them for a moment.

The decisions are those of `HotKeys` and `Promotions`; here they are made safe for threads, and told.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from tiercel._core.hotkeys import HotKeys
from tiercel._core.promotions import Promotions
from tiercel.errors import redact
from tiercel.local.contract import LocalTable
from tiercel.observe.recorder import Recorder
from tiercel.options import RegionOptions
from tiercel.typing import Clock, Key

SAMPLE = 8
"""One read in so many is counted, with that weight."""
HALF_LIFE_S = 10.0
HOLD_S = 30.0


class HotKey(NamedTuple):
    """A key and how often it is read: *reads* in about ten seconds, by this process, beyond the local tier."""

    tenant: str
    key: Key
    reads: int
    is_promoted: bool


class HotSpots:
    """
    The hot keys of one region, all tenants together; thread-safe.

    Args:
        options: The region.
        table: Where their copies are.
        clock: Source of time.
        recorder: Told of each key that became hot here.
    """

    def __init__(self, options: RegionOptions, table: LocalTable, clock: Clock, recorder: Recorder) -> None:
        self.table = table
        self._region = options.name
        self._clock = clock
        self._recorder = recorder
        self._lock = threading.Lock()
        self._sketch: HotKeys[tuple[str, Key]] = HotKeys(4 * options.hot_limit, options.hot_reads, HALF_LIFE_S)
        self._promotions: Promotions[tuple[str, Key]] = Promotions(options.hot_limit, HOLD_S)

    def counted(self, tenant: str, key: Key) -> tuple[bool, bool]:
        """Count a sampled read; return whether the key is to be kept near, and whether that is news."""
        now, name = self._clock.monotonic(), (tenant, key)
        with self._lock:
            is_hot = self._sketch.add(name, now, SAMPLE)
            if not is_hot:
                return self._promotions.is_promoted(name, now), False
            is_news = self._promotions.promote(name, now)
        if is_news:
            self._recorder.event("hot_key", region=self._region, tenant=tenant, key=key)
        return True, is_news

    def promote(self, tenant: str, key: Key) -> None:
        """Keep near what another node found hot, once it is read here."""
        with self._lock:
            self._promotions.promote((tenant, key), self._clock.monotonic())

    def is_promoted(self, tenant: str, key: Key) -> bool:
        """Say whether a copy is kept while the key is read."""
        with self._lock:
            return self._promotions.is_promoted((tenant, key), self._clock.monotonic())

    def report(self, most: int = 5) -> dict[str, int]:
        """Return the reads of the keys that are hot or promoted, hottest first, each as its tenant and redacted key."""
        shown = [found for found in self.hottest(most) if found.is_promoted or found.reads >= self._sketch.threshold]
        return {f"{found.tenant}:{redact(found.key)}": found.reads for found in shown}

    def hottest(self, most: int = 20) -> list[HotKey]:
        """Return the keys that this process reads most beyond its local tier, hottest first."""
        now = self._clock.monotonic()
        with self._lock:
            return [
                HotKey(*name, int(reads), self._promotions.is_promoted(name, now))
                for name, reads in self._sketch.hottest(most)
            ]
