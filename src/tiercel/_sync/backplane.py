# Generated from src/tiercel/_async/backplane.py by tools/unasync.py. Do not edit.
"""
The backplane: nodes tell each other what fell, over a stream in the far tier.

A stream keeps its messages, so a node that was cut off reads on from its last id and misses nothing. What a stream
cannot promise is noticed: entries trimmed before they were read, a stream rolled back by a fail-over, a message that
cannot be read, a connection made anew (maybe to a replica that never had the last messages). Then, and when no answer
comes for ``max_staleness_s``, everything local is suspect (`Receiver.doubt`).

Who is frozen cannot notice. So every sign of life *trusts* the local tier until ``max_staleness_s`` after it
(`Receiver.trust_until`): later hits are refused by the clock that they look at anyway, and `check` then says why.

Publishing never blocks a caller: messages wait in a queue where the last one about a thing wins, and are sent in
batches; while the tier is away the queue keeps them for as long as an older copy could live.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Sequence
from typing import Protocol

from tiercel._sync.tier import FarTier
from tiercel._core.backoff import Backoff
from tiercel._core.keys import KeySpace, encode_key
from tiercel._core.message import (
    Filled,
    KeyHot,
    KeysFell,
    Message,
    PolicyChanged,
    TagsFell,
    pack_batch,
    unpack_batch,
)
from tiercel._core.outgoing import Outgoing
from tiercel._gates import gate
from tiercel._paired import Event, Job, spawn
from tiercel.errors import DecodeError, TierError
from tiercel.observe.recorder import Recorder
from tiercel.options import BackplaneOptions
from tiercel.typing import Clock, Key

BLOCK_S = 0.5
LEAST_BLOCK_S = 0.05
RETRY = Backoff(0.02, 0.2)
"""Soon at first: a connection that was cut is mostly made anew at once, and local copies wait for it."""


class Receiver(Protocol):
    """What a message does here; it never publishes."""

    def apply(self, message: Message) -> None:
        """Drop what *message* says is out of date."""

    def doubt(self, why: str) -> None:
        """Treat everything local as suspect: messages may have been missed."""

    def trust_until(self, moment_s: float) -> None:
        """Serve local copies before *moment_s* on the monotonic clock only."""


class Backplane:
    """
    One node's end of the backplane.

    Args:
        tier: Where the streams are.
        space: Their names.
        node_id: Marks this process's own messages, which it need not apply.
        receiver: Applies what others say.
        clock: Source of time.
        options: Partitions, length, coalescing.
        max_staleness_s: Longest silence before everything local is suspect.
        keep_s: How long an unsent message is kept.
        recorder: Told of gaps and failures.
    """

    def __init__(
        self,
        tier: FarTier,
        space: KeySpace,
        node_id: bytes,
        receiver: Receiver,
        *,
        clock: Clock,
        options: BackplaneOptions,
        max_staleness_s: float,
        keep_s: float,
        recorder: Recorder,
    ) -> None:
        self._tier = tier
        self._node_id = node_id
        self._receiver = receiver
        self._clock = clock
        self._options = options
        self._max_staleness_s = max_staleness_s
        self._recorder = recorder
        self._streams = [space.stream_key(number) for number in range(options.partitions)]
        self._outgoing = Outgoing(keep_s)
        self._sending = 0
        self._lock = threading.Lock()
        self._heard_at = [-1e18] * options.partitions
        self._is_cut = [False] * options.partitions
        self._is_trusted = False
        self._block_s = min(BLOCK_S, max(LEAST_BLOCK_S, max_staleness_s / 4))
        self._last_ids = [b""] * options.partitions
        self._waiting = Event()
        self._urgent = Event()
        self._stopping = Event()
        self._jobs: list[Job] = []

    def start(self) -> None:
        """Take up each stream at its end, then listen and publish in the background."""
        for number in range(len(self._streams)):
            self._join(number)
        self._jobs = [
            spawn(f"tiercel-backplane-{number}", self._listen, number) for number in range(len(self._streams))
        ]
        self._jobs.append(spawn("tiercel-publisher", self._publish))

    def close(self, deadline_s: float = 5.0) -> None:
        """Send what waits, then stop."""
        self._stopping.set()
        self._waiting.set()
        self._urgent.set()
        self._nudge()
        for job in self._jobs:
            job.join(deadline_s)
        self._is_trusted = False
        self._receiver.trust_until(math.inf)

    def _nudge(self) -> None:
        """Append an empty batch to each stream, so that this node's listeners wake from their wait and end."""
        try:
            for stream in self._streams:
                self._tier.publish(stream, pack_batch(self._node_id, []), self._options.max_entries)
        except TierError as error:
            self._recorder.event("publish_failed", tier=self._tier.name, why=str(error), waiting=0)

    def is_live(self) -> bool:
        """Whether every stream was heard within ``max_staleness_s``."""
        return self._clock.monotonic() - min(self._heard_at) < self._max_staleness_s

    def lag_s(self) -> float:
        """Seconds since the quietest stream last answered."""
        return self._clock.monotonic() - min(self._heard_at)

    def check(self) -> None:
        """Treat everything local as suspect where no sign of life came for ``max_staleness_s``."""
        if self._is_trusted and not self.is_live():
            self._is_trusted = False
            self._receiver.trust_until(math.inf)
            self._recorder.event("backplane_lost", tier=self._tier.name, why=f"silent for {self.lag_s():.1f} s")
            self._receiver.doubt("the backplane was silent")

    @property
    def unsent(self) -> int:
        """Messages that no stream has yet, those on their way included."""
        with self._lock:
            return len(self._outgoing) + self._sending

    # Announcer: what other nodes are told.

    def keys_fell(self, tenant: str, region: str, keys: Sequence[Key], tags: Sequence[int]) -> None:
        """Announce that local copies of *keys* are out of date."""
        self._send(KeysFell(tenant, region, tuple(encode_key(key) for key in keys), tuple(tags)))

    def tags_fell(self, tenant: str, tags: Sequence[int]) -> None:
        """Announce that *tags* have fresh tokens."""
        self._send(TagsFell(tenant, tuple(tags)))

    def key_hot(self, tenant: str, region: str, key: Key) -> None:
        """Announce that *key* is read so often that nodes should keep it near for a moment."""
        self._send(KeyHot(tenant, region, encode_key(key)))

    def policy_changed(self, version: int) -> None:
        """Announce that the live policy has a new version."""
        self._send(PolicyChanged(version))

    def keep_for(self, keep_s: float) -> None:
        """Keep unsent messages for *keep_s* at least: so long may copies live from now on."""
        with self._lock:
            self._outgoing.keep_for(keep_s)

    def filled(self, name_hash: int) -> None:
        """Wake those who wait for a load, on every node; their wait is not made longer for the sake of a batch."""
        self._receiver.apply(Filled(name_hash))
        self._send(Filled(name_hash))
        self._urgent.set()

    def _send(self, message: Message) -> None:
        with self._lock:
            self._outgoing.put(message, self._clock.monotonic())
        self._waiting.set()

    # Publishing.

    def _publish(self) -> None:
        failures = 0
        while not self._stopping.is_set() or len(self._outgoing):
            self._waiting.wait_for(BLOCK_S)
            if not len(self._outgoing):
                continue
            self._urgent.wait_for(self._options.coalesce_s)
            failures = 0 if self._publish_round() else failures + 1
            if failures and self._stopping.wait_for(RETRY.pause_s(failures, random.random())):
                return

    def _publish_round(self) -> bool:
        """Send what waits; return False where the tier did not take it, and it waits on."""
        self._waiting.clear()
        if not self._stopping.is_set():
            self._urgent.clear()
        with self._lock:
            batches = self._outgoing.take(len(self._streams), self._clock.monotonic())
            self._sending = sum(map(len, batches.values()))
        for number, messages in batches.items():
            gate("backplane.publish")
            try:
                body = pack_batch(self._node_id, [message for message, _ in messages])
                self._tier.publish(self._streams[number], body, self._options.max_entries)
            except TierError as error:
                self._recorder.event("publish_failed", tier=self._tier.name, why=str(error), waiting=len(messages))
                with self._lock:
                    for left in list(batches)[list(batches).index(number) :]:
                        self._outgoing.put_back(batches[left])
                    self._sending = 0
                self._waiting.set()
                return False
        self._sending = 0
        return True

    # Listening.

    def _join(self, number: int) -> None:
        """Take up a stream at its end; an empty one gets a first entry, or its trimming could not be noticed."""
        asked_at, stream = self._clock.monotonic(), self._streams[number]
        last_id = (self._tier.stream_state(stream)).last_id
        if _order(last_id) == (0, 0):
            last_id = self._tier.publish(stream, pack_batch(self._node_id, []), self._options.max_entries)
        self._last_ids[number] = last_id
        self._heard(number, asked_at)

    def _listen(self, number: int) -> None:
        failures = 0
        while not self._stopping.is_set():
            failures = 0 if self._listened(number) else failures + 1
            if failures:
                self._stopping.wait_for(RETRY.pause_s(failures, random.random()))

    def _listened(self, number: int) -> bool:
        """Hear a stream once; return False where the tier did not answer."""
        try:
            self._listen_round(number)
        except TierError:
            self._is_cut[number] = True
            self.check()
            return False
        except DecodeError as error:
            self._receiver.doubt(str(error))
        return True

    def _listen_round(self, number: int) -> None:
        stream, after, asked_at = self._streams[number], self._last_ids[number], self._clock.monotonic()
        entries = self._tier.listen(stream, after, self._block_s)
        gate("backplane.received")
        if entries:
            self._last_ids[number] = entries[-1].id
        for entry in entries:  # at once: to drop too much is safe, and what was missed as well is found out below
            self._apply(entry.body)
        looked_at = self._clock.monotonic()
        state = self._tier.stream_state(stream)
        gap = _gap(after, state.first_id, state.last_id)
        if gap:
            self._recorder.event("backplane_gap", tier=self._tier.name, why=gap)
            self._join(number)
        if gap or self._is_cut[number]:
            self._is_cut[number] = False
            self._receiver.doubt(gap or "the connection was made anew")
        self._heard(number, looked_at if state.last_id == self._last_ids[number] else asked_at)

    def _apply(self, body: bytes) -> None:
        batch = unpack_batch(body)
        if batch.node == self._node_id:
            return
        for message in batch.messages:
            self._receiver.apply(message)

    def _heard(self, number: int, as_of_s: float) -> None:
        """Note that everything said in a stream before *as_of_s* was applied."""
        self.check()
        self._heard_at[number] = max(self._heard_at[number], as_of_s)
        if self.is_live():
            self._is_trusted = True
            self._receiver.trust_until(min(self._heard_at) + self._max_staleness_s)


def _gap(after: bytes, first_id: bytes, last_id: bytes) -> str:
    """Say what was missed between reading *after* and now; empty for nothing."""
    if _order(last_id) < _order(after):
        return "the stream was rolled back"
    if _order(after) > (0, 0) and _order(first_id) > _order(after):
        return "the stream was trimmed before it was read"
    return ""


def _order(stream_id: bytes) -> tuple[int, int]:
    milliseconds, _, sequence = stream_id.partition(b"-")
    return int(milliseconds), int(sequence or 0)
