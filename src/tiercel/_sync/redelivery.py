# Generated from src/tiercel/_async/redelivery.py by tools/unasync.py. Do not edit.
"""
Redelivery: invalidations fail loud and are never dropped.

What the far tier does not take is journaled first and sent again until it is taken. What it did take is remembered for
the *loss window* (a fail-over may promote a replica that never saw it) and sent again after a reconnect:

    1. writer commits, deletes the key in the master: acknowledged
    2. the master dies before the replica has the delete; the replica, with the old value, is promoted
    3. readers find the old value: without redelivery until its ttl ends

A write that replaced a value is remembered like a delete, for the old value comes back in the same way. What gets
through late is told to all nodes once more (`on_late`): they may have copied the old value after they were told the
first time. Until then no read of this process relies on what the far tier says of it (`Unsettled`).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

from tiercel._sync.tier import FarTier
from tiercel._core.keys import KeySpace
from tiercel._core.undelivered import Undelivered
from tiercel._gates import gate
from tiercel._intents import IntentFile
from tiercel._paired import Event, Job, run_blocking, spawn
from tiercel._redelivery import RedeliveryFile
from tiercel._unsettled import Unsettled
from tiercel.errors import StoreError, TierError
from tiercel.observe.recorder import Recorder
from tiercel.typing import Clock

RETRY_S = 0.25
LOSS_WINDOW_S = 30.0
RECENT_MAX = 20_000
BATCH = 500


class Redelivery:
    """
    Args:
        tier: The far tier.
        space: Names in it.
        path: File of what is undelivered; None keeps it in memory.
        clock: Source of time.
        recorder: Told of what is queued and what got through.
        unsettled: What reads of this process must not rely on the far tier for.
        loss_window_s: How long a delivered invalidation is remembered.

    Attributes:
        tier: The far tier.
        on_late: Told of each invalidation that got through late or again.
        on_awaited: Told of each entry whose lease was voided while somebody waited for its fill, which will not come.
    """

    def __init__(
        self,
        tier: FarTier,
        space: KeySpace,
        path: Path | None,
        clock: Clock,
        recorder: Recorder,
        unsettled: Unsettled,
        loss_window_s: float = LOSS_WINDOW_S,
    ) -> None:
        self.tier = tier
        self._space = space
        self._path = path
        self._clock = clock
        self._recorder = recorder
        self._unsettled = unsettled
        self._receipts: dict[int, Callable[[], None]] = {}
        self._queued: set[int] = set()
        self._loss_window_s = loss_window_s
        self._file = RedeliveryFile(path)
        self._intents = IntentFile(None if path is None else path.with_suffix(".intents"))
        self.on_late: Callable[[Undelivered], None] = lambda _record: None
        self.on_awaited: Callable[[bytes], None] = lambda _name: None
        self._recent: deque[tuple[float, Undelivered]] = deque(maxlen=RECENT_MAX)
        self._lock = threading.Lock()
        self._waiting = Event()
        self._stopping = Event()
        self._job: Job | None = None

    def start(self) -> None:
        """Send what an earlier process left, and whatever fails from now on, in the background."""
        for number, record in self._file.oldest(len(self._file)):
            self._noted(number, record)
        unfinished = self._intents.take_all()
        if unfinished:
            self._queue(unfinished)
            self._recorder.event("writes_unfinished", tier=self.tier.name, count=len(unfinished))
        if len(self._file):
            self._waiting.set()
        self._job = spawn("tiercel-redelivery", self._run)

    def close(self, deadline_s: float = 5.0) -> None:
        """Stop; what is undelivered stays in the file."""
        self._stopping.set()
        self._waiting.set()
        if self._job is not None:
            self._job.join(deadline_s)
        self._file.close()
        self._intents.close()

    @property
    def depth(self) -> int:
        """Invalidations that wait."""
        return len(self._file)

    def intend(self, record: Undelivered) -> int:
        """Note what is about to change in a store; should this process die first, its next start makes it fall."""
        return self._intents.add(record)

    def fulfil(self, intent: int) -> None:
        """Forget an intent: the tiers know."""
        self._intents.remove(intent)

    def fall_back(self, record: Undelivered) -> None:
        """Make fall what a write concerned that ended nobody knows how."""
        self._queue([record])
        self._waiting.set()

    def is_queued(self, record: Undelivered) -> bool:
        """Say whether anything waits that concerns an entry of *record*."""
        return self._unsettled.waits_for(record)

    def _queue(self, records: Sequence[Undelivered], on_taken: Callable[[], None] | None = None) -> None:
        """Journal *records* to be sent again; no read of this process relies on the far tier for them until then."""
        for number, record in zip(self._file.add(records, self._clock.wall()), records, strict=True):
            self._noted(number, record, on_taken)

    def _noted(self, number: int, record: Undelivered, on_taken: Callable[[], None] | None = None) -> None:
        with self._lock:
            self._queued.add(number)
            if on_taken is not None:
                self._receipts[number] = on_taken
        self._unsettled.add(self._mark(number), record)

    def _mark(self, number: int) -> Hashable:
        """Return what a record of the file is known by in this process, whichever cache queued it."""
        return (id(self) if self._path is None else self._path, number)

    def deliver(self, record: Undelivered, on_taken: Callable[[], None] | None = None) -> bool:
        """
        Send *record* now; where the tier does not take it, journal it to be sent again.

        Args:
            record: What falls.
            on_taken: Called when the tier took it late, if this process still lives.

        Returns:
            Whether the tier took it.

        Raises:
            StoreError: neither worked; the caller must not report success.
        """
        try:
            self._send(record)
        except TierError as error:
            run_blocking(self._queue, [record], on_taken)
            self._recorder.event("invalidation_queued", tier=self.tier.name, why=str(error))
            self._waiting.set()
            return False
        self.remember(record)
        return True

    def repeat(self, record: Undelivered) -> None:
        """Send *record* for a node that could not, and tell everybody; raises `TierError` where it is not taken."""
        self._send(record)
        self.remember(record)
        self.on_late(record)

    def remember(self, record: Undelivered) -> None:
        """Say *record* again should the tier lose what was said or stored within the loss window."""
        with self._lock:
            self._recent.append((self._clock.monotonic(), record))

    def _send(self, record: Undelivered) -> None:
        if record.kind == "tags":
            tags = {tag: self._space.tag_key(tag) for tag in record.tags}
            self.tier.renew_tags(tags, record.tag_life_ms)
        elif record.names:
            fell = self.tier.expire_many if record.kind == "expire" else self.tier.invalidate_many
            for name, is_awaited in zip(
                record.names, fell(record.names, record.floor, record.tombstone_ms), strict=True
            ):
                if is_awaited:
                    self.on_awaited(name)
        if record.kind != "tags" and record.tags:
            tags = {tag: self._space.tag_key(tag) for tag in record.tags}
            self.tier.renew_existing_tags(tags, record.tag_life_ms)

    def repeat_recent(self) -> None:
        """
        Send again what was delivered within the loss window: a connection was made anew, maybe to another master.

        Called by whoever made the connection, whose call this must not fail: what cannot be kept, on a full disk or
        because this cache was closed meanwhile, is told, and repeated after the next connection.
        """
        since = self._clock.monotonic() - self._loss_window_s
        with self._lock:
            recent = [(at, record) for at, record in self._recent if at >= since]
            self._recent.clear()
        if not recent:
            return
        try:
            self._queue([record for _, record in recent])
        except StoreError as error:
            with self._lock:
                self._recent.extendleft(reversed(recent))
            self._recorder.event("repeat_failed", tier=self.tier.name, count=len(recent), why=str(error))
            return
        self._recorder.event("invalidations_repeated", tier=self.tier.name, count=len(recent))
        self._waiting.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._waiting.wait_for(1.0) and not self._round():
                self._stopping.wait_for(RETRY_S)

    def _round(self) -> bool:
        """Send what waits, oldest first; return False where the tier does not take it."""
        self._waiting.clear()
        sent: list[int] = []
        for number, record in run_blocking(self._file.oldest, BATCH):
            gate("redelivery.send")
            try:
                self._send(record)
            except TierError:
                self._forget(sent)
                self._waiting.set()
                return False
            sent.append(number)
            self.on_late(record)
        self._forget(sent)
        self._settle(run_blocking(self._file.missing, list(self._queued)))
        if len(self._file):
            self._waiting.set()
        return True

    def _forget(self, sent: Sequence[int]) -> None:
        if sent:
            run_blocking(self._file.remove, sent)
            self._settle(sent)
            self._recorder.event("invalidation_delivered", tier=self.tier.name, count=len(sent))

    def _settle(self, numbers: Sequence[int]) -> None:
        """Note that the tier took what has *numbers*, whichever process sent it."""
        for number in numbers:
            self._unsettled.settle(self._mark(number))
            with self._lock:
                self._queued.discard(number)
                on_taken = self._receipts.pop(number, None)
            if on_taken is not None:
                on_taken()
