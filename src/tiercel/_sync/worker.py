# Generated from src/tiercel/_async/worker.py by tools/unasync.py. Do not edit.
"""
The worker: flushes the journals of any number of regions in a process of its own, beside other workers.

Application nodes then only journal (``flush = false``). Workers share the partitions of each journal by lease: start as
many as are needed, stop any of them; a stopped worker hands its partitions over at once, a dead or frozen one is missed
after ``lease_s``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiercel._sync.crew import FlushCrew
from tiercel._sync.flusher import Events, Settled
from tiercel._sync.journals.protocol import Journal
from tiercel._sync.writebehind import ignore_event, worker_name
from tiercel._core.journal import JournalSize, JournalStats
from tiercel._paired import Event
from tiercel.options import JournalOptions
from tiercel.typing import Store, Clock

__all__ = ["Post", "Worker"]

_LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class Post:
    """
    One region that a worker empties.

    Args:
        region: Its name.
        options: Its thresholds and pauses.
        journal: Where its writes wait.
        store: Where they go.
    """

    region: str
    options: JournalOptions
    journal: Journal
    store: Store


class Worker:
    """
    Flushes journals until stopped.

    Args:
        posts: The regions; their journals are opened by `start` and closed by `close`, their stores stay open.
        clock: Source of time.
        events: Told what the flushers do, with the region's name among the fields; must not block.
        name: Unique name; None to make one.
    """

    def __init__(
        self, posts: Sequence[Post], *, clock: Clock, events: Events = ignore_event, name: str | None = None
    ) -> None:
        self.name = name or worker_name()
        self._clock = clock
        self._events = events
        self._posts = posts
        self._sizes = {post.region: JournalSize() for post in posts}
        self._crews: dict[str, FlushCrew] = {}
        self._pauses = Event()

    def start(self) -> None:
        """
        Open the journals and begin to flush.

        Raises:
            ConfigurationError: A journal does not give the durability that is configured.
        """
        for post in self._posts:
            post.journal.open()
            self._sizes[post.region] = post.journal.size()
            self._crews[post.region] = FlushCrew(
                post.journal,
                post.store,
                self.name,
                post.options,
                clock=self._clock,
                events=functools.partial(self._tell, post.region),
                settled=functools.partial(self._advance, post.region),
            )
        for crew in self._crews.values():
            crew.start()

    def _tell(self, region: str, name: str, fields: Mapping[str, Any]) -> None:
        self._events(name, {"region": region, **fields})

    def _advance(self, region: str, settled: Settled) -> None:
        self._sizes[region] = settled.size

    def drain(self, deadline_s: float) -> int:
        """Flush without waiting for batches, at most *deadline_s* seconds; return how many rows are left in all."""
        deadline = self._clock.monotonic() + deadline_s
        for crew in self._crews.values():
            crew.hurry(True)
        try:
            left = self._measure()
            while left and self._clock.monotonic() < deadline:
                self._pauses.wait_for(_LOOK_S)
                left = self._measure()
        finally:
            for crew in self._crews.values():
                crew.hurry(False)
        return left

    def _measure(self) -> int:
        for post in self._posts:
            self._sizes[post.region] = post.journal.size()
        return sum(size.rows for size in self._sizes.values())

    def stats(self) -> dict[str, JournalStats]:
        """Return what waits and what was done, by region."""
        now_s = self._clock.wall()
        return {
            region: JournalStats.of(self._sizes[region], crew.counters, now_s) for region, crew in self._crews.items()
        }

    def close(self, deadline_s: float = 10.0) -> None:
        """End after the rounds in progress, hand the partitions over, close the journals."""
        for crew in self._crews.values():
            crew.stop(deadline_s)
        self._crews.clear()
        for post in self._posts:
            post.journal.close()
