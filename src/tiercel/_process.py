"""
What all caches of one process share: local copies, loads in flight, version clock, waiting callers.

`Cache` and `AsyncCache` of one namespace in one process are two doors to the same room: a value that one of them loaded
is a local hit for the other, and an invalidation by one voids the other's loads.
"""

from __future__ import annotations

import secrets
import threading
from typing import ClassVar

from tiercel._core.clock import SystemClock
from tiercel._core.floors import Floors
from tiercel._core.hlc import HybridClock
from tiercel._flights import Flight, Flights
from tiercel._memory_records import MemoryRecords
from tiercel._unsettled import Unsettled
from tiercel.local.tier import LocalTier
from tiercel.typing import Clock, Key


class Wakes:
    """Callers that wait for another node's load; `wake` ends their wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int, Flight] = {}

    def expect(self, name_hash: int) -> Flight:
        """Return what is ended by the next `wake` of *name_hash*; call it before asking for the lease."""
        with self._lock:
            return self._waiting.setdefault(name_hash, Flight(name_hash))

    def wake(self, name_hash: int) -> None:
        """End the wait of all who expect *name_hash*."""
        with self._lock:
            flight = self._waiting.pop(name_hash, None)
        if flight is not None:
            flight.future.set_result(None)

    def wake_all(self) -> None:
        """End every wait: messages may have been missed."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for flight in waiting.values():
            flight.future.set_result(None)


class TokenMemo:
    """
    The tag tokens that this process knows, see `tiercel._async.tagbook`.

    One for all caches of a namespace: they share local copies, and a cache that still knew a token which another one
    has renewed would prove an old copy by it.

    Attributes:
        lock: Held while it is changed.
        tokens: Token, when it was read and when its life ends, on the monotonic clock, by tag hash.
        forgotten: How often tokens were dropped: an answer that was asked for before the last time is not kept.
    """

    __slots__ = ("forgotten", "lock", "tokens")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tokens: dict[int, tuple[int, float, float]] = {}
        self.forgotten = 0


class Process:
    """
    The shared state of one namespace in one process.

    Args:
        clock: Where time comes from.
        local: The local copies; made where it is None.

    Attributes:
        absent: Which keys are known to have no record: apart from the copies, so that a plain hit is always a value.
        gutter: What serves while the far tier is away, where the matrix says ``gutter = "local"``.
        floors: What fell lately; None while no cache of the process reads from replicas.
        unsettled: Invalidations that the far tier has not taken yet.
    """

    _shared: ClassVar[dict[str, Process]] = {}
    _shared_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, clock: Clock | None = None, local: LocalTier | None = None) -> None:
        self.clock = clock or SystemClock()
        self.local = local or LocalTier(clock=self.clock)
        self.absent = LocalTier(clock=self.clock)
        self.flights = Flights()
        self.wakes = Wakes()
        self.tokens = TokenMemo()
        self.unsettled = Unsettled()
        self.node_id = secrets.token_bytes(8)
        self.doubts = 1
        self.records = MemoryRecords(self.clock)
        self.gutter = MemoryRecords(self.clock)
        self.floors: Floors[tuple[str, str, Key]] | None = None
        self._versions = HybridClock()
        self._versions_lock = threading.Lock()

    @classmethod
    def shared(cls, namespace: str) -> Process:
        """Return this process's one instance for *namespace*."""
        with cls._shared_lock:
            found = cls._shared.get(namespace)
            if found is None:
                found = cls._shared[namespace] = Process()
            return found

    def keep_floors(self) -> Floors[tuple[str, str, Key]]:
        """Note from now on what falls, for reads whose answers may lag; return the notes."""
        if self.floors is None:
            self.floors = Floors()
            self.floors.all_fell(self._wall_ms())
            self.flights.on_detach = self._fell
        return self.floors

    def _wall_ms(self) -> int:
        return int(self.clock.wall() * 1000)

    def _fell(self, flight_key: tuple[str, str, Key]) -> None:
        if self.floors is not None:
            self.floors.fell(flight_key, self._wall_ms())

    def doubt(self) -> None:
        """Count that messages may have been missed: local copies made before are proved by the far tier only."""
        if self.floors is not None:
            self.floors.all_fell(self._wall_ms())
        with self._versions_lock:
            self.doubts += 1

    def trust_until(self, moment_s: float) -> None:
        """Serve plain local hits before *moment_s* on the monotonic clock only; infinity takes the limit away."""
        self.local.trust_until(moment_s)

    def next_version(self, floor: int = 0) -> int:
        """Return a version above *floor* and all that were given or seen."""
        with self._versions_lock:
            return self._versions.next(int(self.clock.wall() * 1_000_000), floor)

    def observe_version(self, version: int) -> None:
        """Learn a version that was made elsewhere."""
        if version > self._versions.last:
            with self._versions_lock:
                self._versions.observe(version)
