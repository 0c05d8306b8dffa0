"""
The outbox: invalidations kept in the transaction of the write that they belong to, and delivered by whoever lives.

    1. writer commits v2 to the store, and its machine dies before Redis knows
    2. other nodes find v1 in Redis until its ttl ends

So the row and a note of what must fall are committed together. Its writer acts on the note at once and forgets it in
the background, many at a time. A note that nobody forgot within ``HOLD_S`` is claimed by the next node that looks,
delivered, told to everybody, and deleted: in this order, so that a relay that dies in between leaves it to another.
There is no cursor over the notes. A transaction that commits late is not skipped:

    1. transaction A takes number 1, transaction B number 2; B commits
    2. a relay reads up to 2, and remembers 2
    3. A commits: number 1 is below what was read, and is never looked at

Doing it twice costs a miss. A relay looks only while Redis answers, so that it holds no note that it cannot deliver.
Nodes of one namespace deliver for each other; they must share one Redis.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence

from tiercel._async.redelivery import AsyncRedelivery
from tiercel._core.keys import hash64
from tiercel._core.undelivered import Undelivered, pack_undelivered, unpack_undelivered
from tiercel._paired import AsyncEvent, AsyncJob, async_spawn
from tiercel.errors import DecodeError, StoreError, TierError
from tiercel.observe.recorder import Recorder
from tiercel.typing import AsyncOutboxStore, Change, Outcome

HOLD_S = 5.0
"""How long a note is its writer's alone: longer than a write takes, or others make fall what was just written."""
LOOK_S = 1.0
LEASE_S = 10.0
BATCH = 200
NONCE_BYTES = 8


class AsyncOutbox:
    """
    Args:
        store: Keeps the rows and the notes.
        namespace: Whose notes are delivered here; others may be kept in the same store.
        redelivery: The way to the far tier.
        recorder: Told of what was delivered for others, and of what failed.
    """

    def __init__(
        self, store: AsyncOutboxStore, namespace: str, redelivery: AsyncRedelivery, recorder: Recorder
    ) -> None:
        self._store = store
        self._prefix = hash64(namespace.encode()).to_bytes(8, "big")
        self._redelivery = redelivery
        self._recorder = recorder
        self._lock = threading.Lock()
        self._settled: list[bytes] = []
        self._stopping = AsyncEvent()
        self._job: AsyncJob | None = None

    def start(self) -> None:
        """Forget settled notes, and deliver those of the dead, in the background."""
        self._job = async_spawn("tiercel-outbox", self._run)

    async def aclose(self, deadline_s: float = 5.0) -> None:
        """Forget what is settled, and stop."""
        self._stopping.set()
        if self._job is not None:
            await self._job.join(deadline_s)

    def note(self, record: Undelivered) -> bytes:
        """Return a note of *record*, to be kept by `write_many` and forgotten by `settle`."""
        return self._prefix + secrets.token_bytes(NONCE_BYTES) + pack_undelivered(record)

    async def write_many(self, changes: Sequence[Change], note: bytes) -> list[Outcome]:
        """Apply *changes* and keep *note*, in one transaction; raises as the store does."""
        return await self._store.write_many(changes, note=note, hold_s=HOLD_S)

    def settle(self, note: bytes) -> None:
        """Forget *note* soon: the tiers know."""
        with self._lock:
            self._settled.append(note)

    async def _run(self) -> None:
        is_stopping = False
        while not is_stopping:
            is_stopping = await self._stopping.wait_for(LOOK_S)
            try:
                await self._forget_settled()
                if not is_stopping:
                    await self._deliver_for_others()
            except (StoreError, TierError) as error:
                self._recorder.event("outbox_waits", tier=self._redelivery.tier.name, why=str(error))

    async def _forget_settled(self) -> None:
        with self._lock:
            settled, self._settled = self._settled, []
        if not settled:
            return
        try:
            await self._store.settle_notes(settled)
        except StoreError:
            with self._lock:
                self._settled += settled
            raise

    async def _deliver_for_others(self) -> None:
        await self._redelivery.tier.ping()
        while await self._deliver_some() == BATCH:
            continue

    async def _deliver_some(self) -> int:
        """Deliver up to a batch of notes that nobody holds, and return how many there were."""
        notes = await self._store.read_notes(BATCH, lease_s=LEASE_S, prefix=self._prefix)
        for note in notes:
            try:
                record = unpack_undelivered(note.payload[len(self._prefix) + NONCE_BYTES :])
            except DecodeError as error:
                self._recorder.event("note_damaged", tier=self._redelivery.tier.name, why=str(error))
                continue
            await self._redelivery.repeat(record)
        if notes:
            await self._store.delete_notes([note.id for note in notes])
            self._recorder.event("notes_delivered", tier=self._redelivery.tier.name, count=len(notes))
        return len(notes)
