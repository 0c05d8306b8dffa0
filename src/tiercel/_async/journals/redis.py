"""
The Redis journal: acknowledged writes in Redis, shared by every node; the default where there is Redis.

Each partition lives in one slot, under the hash tag ``{namespace:region:partition}``: a stream of writes, a map from
row to its newest write, and a hash of counters with the lease. Every change is one script on one partition.

=============  =========================================================  ====================================
durability     needs, checked by `open`                                   costs
=============  =========================================================  ====================================
process        append-only file                                           one round trip
always         append-only file and WAITAOF (7.2), or appendfsync always  one sync of Redis's disk
replicated     ``replicas`` connected replicas of every primary           one round trip to the replicas
=============  =========================================================  ====================================

``process`` loses up to a second where the machine of the primary loses power (``appendfsync everysec``). A partitioned
primary goes on acknowledging ``process`` and ``always`` writes that the fail-over then throws away; only ``replicated``
refuses them. A policy that evicts keys without a ttl would evict the journal, so `open` refuses ``allkeys-*``.

WAIT holds up a connection: give the journal a link of its own where durability is ``always`` or ``replicated``.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from tiercel._async.journals.payload import decode_entry, encode_identity
from tiercel._async.link import AsyncLink
from tiercel._core.backoff import Backoff
from tiercel._core.journal import (
    Accepted,
    DeadLetter,
    Draft,
    Fate,
    JournalEntry,
    JournalSize,
    Lease,
    partition_of,
)
from tiercel._core.resp import Command, Word
from tiercel._paired import async_gather, async_sleep
from tiercel.errors import (
    ConfigurationError,
    JournalFull,
    LeaseLost,
    ReplyError,
    StoreError,
    StoreTimeout,
    TierError,
    TierTimeout,
)
from tiercel.options import Durability
from tiercel.scripts import load_script
from tiercel.typing import Key, Record

__all__ = ["AsyncRedisJournal"]

_Call: TypeAlias = tuple[list[bytes], list[Word]]
"""Keys and arguments of a script."""

_WAITAOF_SINCE: Final = (7, 2)
_WAIT_SLACK_S: Final = 1.0
"""The answer to a WAIT may come this much later than the server was asked to wait."""

_RIDE_OUT_S: Final = 10.0
"""How long an append waits for a fail-over to end before it gives up."""


class AsyncRedisJournal:
    """
    A journal in Redis.

    Args:
        link: The way to Redis; closed by whoever made it.
        namespace: Prefix of every key.
        region: The region whose writes it keeps.
        partitions: Number of queues.
        durability: What an acknowledged write survives.
        replicas: Replicas that must have a write, where durability is ``"replicated"``.
        timeout_s: Budget of one call, the wait for a sync or for replicas included.
    """

    def __init__(
        self,
        link: AsyncLink,
        namespace: str,
        region: str,
        partitions: int,
        *,
        durability: Durability = "process",
        replicas: int = 1,
        timeout_s: float = 5.0,
    ) -> None:
        if "{" in namespace or "}" in namespace:
            raise ConfigurationError(f"namespace={namespace!r}: a brace would change the slot of every journal key")
        self.partitions = partitions
        self._link = link
        self._prefix = f"{namespace}:{region}:"
        self._durability = durability
        self._replicas = replicas
        self._timeout_s = timeout_s
        self._backoff = Backoff(0.05, 1.0)
        self._has_waitaof = False
        self._sizes = [JournalSize()] * partitions

    # -- names ------------------------------------------------------------------------------------------------------

    def _key(self, partition: int, part: str) -> bytes:
        return f"{{{self._prefix}{partition}}}:{part}".encode()

    def _keys(self, partition: int, *parts: str) -> list[bytes]:
        return [self._key(partition, part) for part in parts]

    def _partition(self, identity: bytes) -> int:
        return partition_of(identity, self.partitions)

    # -- opening ----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Check that Redis is set up for the durability, and that the journal has this number of partitions."""
        with _translated("open"):
            for name, text in (await self._link.each_primary("INFO", "everything")).items():
                self._check_server(name, _parse_info(text))
            if self._durability == "always" and not self._has_waitaof:
                await self._check_appendfsync()
            await self._check_partitions()
        self._sizes = await self._measure(self.partitions)

    def _check_server(self, name: str, info: Mapping[str, str]) -> None:
        policy = info.get("maxmemory_policy", "noeviction")
        if policy.startswith("allkeys-"):
            raise ConfigurationError(
                f"journal in Redis {name}: maxmemory-policy {policy} may evict acknowledged writes;"
                " set noeviction or a volatile-* policy"
            )
        if self._durability in ("process", "always") and info.get("aof_enabled") != "1":
            raise ConfigurationError(
                f"journal in Redis {name}: durability={self._durability!r} needs the append-only file;"
                " set appendonly yes, or use kind='file'"
            )
        connected = int(info.get("connected_slaves", "0"))
        if self._durability == "replicated" and connected < self._replicas:
            raise ConfigurationError(
                f"journal in Redis {name}: durability='replicated' with replicas={self._replicas},"
                f" but {connected} replicas are connected"
            )
        version = tuple(int(part) for part in info.get("redis_version", "0.0").split(".")[:2])
        self._has_waitaof = version >= _WAITAOF_SINCE

    async def _check_appendfsync(self) -> None:
        for name, reply in (await self._link.each_primary("CONFIG", "GET", "appendfsync")).items():
            if _as_mapping(reply).get(b"appendfsync") != b"always":
                raise ConfigurationError(
                    f"journal in Redis {name}: durability='always' needs appendfsync always, or Redis 7.2 for WAITAOF"
                )

    async def _check_partitions(self) -> None:
        state = self._key(0, "state")
        await self._link.execute("HSETNX", state, "partitions", self.partitions)
        made = int(await self._link.execute("HGET", state, "partitions"))
        if made == self.partitions:
            return
        waiting = sum(size.rows for size in await self._measure(made))
        if waiting:
            raise ConfigurationError(
                f"the journal {self._prefix} holds {waiting} rows in {made} partitions, but"
                f" partitions={self.partitions}: drain it under the old number first (tiercel journal drain)"
            )
        await self._link.execute("HSET", state, "partitions", self.partitions)

    # -- calls ------------------------------------------------------------------------------------------------------

    async def _run(self, name: str, partition: int, parts: Sequence[str], args: Sequence[Word]) -> Any:
        with _translated(name):
            script = load_script(f"journal_{name}")
            return await self._link.script(script, self._keys(partition, *parts), args, timeout_s=self._timeout_s)

    async def _measure(self, partitions: int) -> list[JournalSize]:
        commands: list[Command] = []
        for partition in range(partitions):
            state, queue, dead = self._keys(partition, "state", "queue", "dead")
            head = ("XRANGE", queue, "-", "+", "COUNT", 1)
            commands += [("XLEN", queue), ("HGET", state, "bytes"), head, ("XLEN", dead)]
        with _translated("size"):
            replies = _without_errors(await self._link.execute_many(commands, timeout_s=self._timeout_s))
        sizes = []
        for at in range(0, len(replies), 4):
            rows, size_bytes, oldest, dead_count = replies[at : at + 4]
            accepted = float(_fields(oldest[0][1])[b"a"]) if oldest else None
            sizes.append(JournalSize(rows, int(size_bytes or 0), accepted, dead_count))
        return sizes

    def _total(self) -> JournalSize:
        oldest = [size.oldest_s for size in self._sizes if size.oldest_s is not None]
        return JournalSize(
            sum(size.rows for size in self._sizes),
            sum(size.size_bytes for size in self._sizes),
            min(oldest, default=None),
            sum(size.dead for size in self._sizes),
        )

    # -- writing ----------------------------------------------------------------------------------------------------

    async def append(self, drafts: Sequence[Draft]) -> Accepted:
        """Keep *drafts*, one script a partition, and wait for what durability asks; rides out a short fail-over."""
        groups: dict[int, list[int]] = {}
        for index, draft in enumerate(drafts):
            groups.setdefault(self._partition(draft.identity), []).append(index)
        calls = [self._append_call(partition, [drafts[at] for at in places]) for partition, places in groups.items()]
        with _translated("append"):
            replies = await self._append_durably(calls)
        versions = [0] * len(drafts)
        for (partition, places), (rows, size_bytes, oldest, *given) in zip(groups.items(), replies, strict=True):
            dead = self._sizes[partition].dead
            self._sizes[partition] = JournalSize(rows, size_bytes, float(oldest) if oldest else None, dead)
            for index, version in zip(places, given, strict=True):
                versions[index] = int(version)
        return Accepted(versions, self._total())

    def _append_call(self, partition: int, drafts: Sequence[Draft]) -> _Call:
        args: list[Word] = []
        for draft in drafts:
            args += [draft.identity, draft.version, repr(draft.accepted_s), draft.payload]
        return self._keys(partition, "state", "queue", "newest"), args

    async def _append_durably(self, calls: Sequence[_Call]) -> list[Any]:
        """
        Append and wait; what a lost connection left open again, for as long as a fail-over takes.

        A repeated append may keep a write twice, the second time under a higher version: harmless, because the write
        was not acknowledged before.
        """
        deadline = time.monotonic() + _RIDE_OUT_S
        replies: list[Any] = [None] * len(calls)
        left = list(range(len(calls)))
        tries = 0
        while left:
            answers = await self._append_once([calls[at] for at in left])
            for at, answer in zip(left, answers, strict=True):
                replies[at] = answer
            left = [at for at in left if isinstance(replies[at], Exception)]
            tries += 1
            pause_s = self._backoff.pause_s(tries, random.random())
            for at in left:
                if not _is_passing(replies[at]) or time.monotonic() + pause_s > deadline:
                    raise replies[at]
            if left:
                await async_sleep(pause_s)
        return replies

    async def _append_once(self, calls: Sequence[_Call]) -> list[Any]:
        """Append each of *calls*; an error is an exception object in its place."""
        wait = self._wait_command()
        if wait is None:
            return await self._link.script_many(load_script("journal_append"), calls, timeout_s=self._timeout_s)
        if self._link.health().topology != "cluster":
            return await self._append_and_wait(calls, wait)
        answers = await async_gather(*[self._append_and_wait([call], wait) for call in calls])
        return [answer for answer, *_ in answers]

    async def _append_and_wait(self, calls: Sequence[_Call], wait: Command) -> list[Any]:
        """Append *calls*, which one node serves, and wait once for all of them."""
        script = load_script("journal_append")
        commands: list[Command] = [("EVALSHA", script.sha, len(keys), *keys, *args) for keys, args in calls]
        try:
            *replies, copies = await self._link.together([*commands, wait], timeout_s=self._timeout_s + _WAIT_SLACK_S)
            unknown = [at for at, reply in enumerate(replies) if _is_unknown_script(reply)]
            if unknown:
                sources: list[Command] = [("EVAL", script.source, *commands[at][2:]) for at in unknown]
                *answers, copies = await self._link.together(
                    [*sources, wait], timeout_s=self._timeout_s + _WAIT_SLACK_S
                )
                for at, answer in zip(unknown, answers, strict=True):
                    replies[at] = answer
        except TierError as error:
            return [error] * len(calls)
        self._check_copies(copies)
        return replies

    def _wait_command(self) -> Command | None:
        wait_ms = max(1, _ms(self._timeout_s))
        if self._durability == "replicated":
            return ("WAIT", self._replicas, wait_ms)
        if self._durability == "always" and self._has_waitaof:
            return ("WAITAOF", 1, 0, wait_ms)
        return None

    def _check_copies(self, copies: Any) -> None:
        if isinstance(copies, Exception):
            raise copies
        found, wanted = (copies[0], 1) if isinstance(copies, list) else (copies, self._replicas)
        if found < wanted:
            place = "replicas" if self._durability == "replicated" else "disks"
            raise StoreTimeout(
                f"the write reached {found} of {wanted} {place} in time; it is not acknowledged, but may be kept",
                tier="journal",
                operation="append",
            )

    # -- leases and workers -----------------------------------------------------------------------------------------

    async def lease(self, partition: int, owner: str, ttl_s: float) -> Lease | None:
        """Take *partition* by the server's clock, or return None while somebody else has it."""
        fence = await self._run("lease", partition, ("state",), (owner, _ms(ttl_s)))
        return None if fence < 0 else Lease(partition, owner, fence)

    async def release(self, lease: Lease) -> None:
        """Give a partition back."""
        await self._run("release", lease.partition, ("state",), (lease.owner, lease.fence))

    async def enlist(self, owner: str, ttl_s: float) -> list[str]:
        """Say that *owner* is alive and return every living worker."""
        workers = await self._run("enlist", 0, ("workers",), (owner, _ms(ttl_s)))
        return sorted(worker.decode() for worker in workers)

    async def resign(self, owner: str) -> None:
        """Say that *owner* goes."""
        with _translated("resign"):
            await self._link.execute("ZREM", self._key(0, "workers"), owner)

    # -- flushing ---------------------------------------------------------------------------------------------------

    async def take(self, lease: Lease, after: int, limit: int, ttl_s: float) -> list[JournalEntry]:
        """Return up to *limit* writes behind *after* and prolong the lease."""
        args = (lease.owner, lease.fence, after, limit, _ms(ttl_s))
        rows = await self._run("take", lease.partition, ("state", "queue"), args)
        if rows is None:
            raise LeaseLost(operation="take")
        return [_entry(place, _fields(fields)) for place, fields in rows]

    async def settle(
        self, lease: Lease, done: Sequence[JournalEntry], parked: Sequence[tuple[JournalEntry, str]]
    ) -> JournalSize:
        """Remove *done*, turn *parked* into dead letters, in one script."""
        args: list[Word] = [lease.owner, lease.fence, len(done), *(entry.position for entry in done)]
        for entry, reason in parked:
            args += [entry.position, reason]
        parts = ("state", "queue", "newest", "dead", "why")
        reply = await self._run("settle", lease.partition, parts, args)
        if reply is None:
            raise LeaseLost(operation="settle")
        rows, size_bytes, oldest, dead = reply
        self._sizes[lease.partition] = JournalSize(rows, size_bytes, float(oldest) if oldest else None, dead)
        return self._total()

    # -- reading ----------------------------------------------------------------------------------------------------

    async def newest(self, tenant: str, keys: Sequence[Key]) -> Mapping[Key, Record]:
        """Return the newest waiting write of each key that has one, in one round trip a node."""
        calls: list[tuple[list[bytes], list[Word]]] = []
        for key in keys:
            identity = encode_identity(tenant, key)
            calls.append((self._keys(self._partition(identity), "queue", "newest"), [identity]))
        with _translated("newest"):
            script = load_script("journal_newest")
            replies = _without_errors(await self._link.script_many(script, calls, timeout_s=self._timeout_s))
        found: dict[Key, Record] = {}
        for key, reply in zip(keys, replies, strict=True):
            if reply is not None:
                change = _entry(reply[0], _fields(reply[1])).change
                found[key] = Record(change.value, change.version)
        return found

    async def fate(self, tenant: str, key: Key, version: int) -> tuple[Fate, str]:
        """Say what became of one write."""
        identity = encode_identity(tenant, key)
        parts = ("queue", "newest", "dead", "why")
        answer: bytes = await self._run("fate", self._partition(identity), parts, (identity, version))
        if answer.startswith(b"!"):
            return Fate.PARKED, answer[1:].decode("utf-8", "replace")
        return Fate(answer.decode()), ""

    async def forget(self, tenant: str, key: Key, version: int | None = None) -> int:
        """Remove the writes of *key* up to *version*; all, and its dead letters, for None. Walks the partition."""
        identity = encode_identity(tenant, key)
        parts = ("state", "queue", "newest", "dead", "why")
        upto = "" if version is None else str(version)
        return int(await self._run("forget", self._partition(identity), parts, (identity, upto)))

    async def size(self) -> JournalSize:
        """Return how much waits, asked of every partition."""
        self._sizes = await self._measure(self.partitions)
        return self._total()

    # -- dead letters -----------------------------------------------------------------------------------------------

    async def dead_letters(self, limit: int = 100, after: str = "") -> list[DeadLetter]:
        """Return dead letters in the order of their ids, which name partition and place."""
        first, behind = _place(after) or (0, 0)
        letters: list[DeadLetter] = []
        for partition in range(first, self.partitions):
            start = f"{behind if partition == first else 0}-1"
            with _translated("dead_letters"):
                rows = await self._link.execute(
                    "XRANGE", self._key(partition, "dead"), start, "+", "COUNT", limit - len(letters)
                )
            letters += [_letter(partition, place, _fields(fields)) for place, fields in rows]
            if len(letters) >= limit:
                break
        return letters

    async def retry(self, ids: Sequence[str]) -> int:
        """Queue dead letters again, under their own versions."""
        return await self._each_grave("retry", ("state", "queue", "newest", "dead", "why"), ids)

    async def drop(self, ids: Sequence[str]) -> int:
        """Throw dead letters away."""
        return await self._each_grave("drop", ("dead", "why"), ids)

    async def _each_grave(self, name: str, parts: Sequence[str], ids: Sequence[str]) -> int:
        graves: dict[int, list[Word]] = {}
        for place in map(_place, ids):
            if place is not None and place[0] < self.partitions:
                graves.setdefault(place[0], []).append(place[1])
        return sum([int(await self._run(name, partition, parts, places)) for partition, places in graves.items()])

    async def aclose(self) -> None:
        """Nothing to release: the link belongs to its maker."""


@contextmanager
def _translated(operation: str) -> Iterator[None]:
    """Turn the link's errors into a store's."""
    try:
        yield
    except TierTimeout as error:
        raise StoreTimeout(f"journal in Redis: {error}", tier="journal", operation=operation) from error
    except TierError as error:
        if isinstance(error, ReplyError) and error.code == "OOM":
            message = "journal in Redis: out of memory; this write was not accepted, those before it are kept"
            raise JournalFull(message, tier="journal", operation=operation) from error
        raise StoreError(f"journal in Redis: {error}", tier="journal", operation=operation) from error


def _is_unknown_script(reply: Any) -> bool:
    return isinstance(reply, ReplyError) and reply.code == "NOSCRIPT"


_PASSING = frozenset({"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "UNBLOCKED"})


def _is_passing(error: Exception) -> bool:
    """Say whether the error is one that a fail-over causes and ends."""
    if isinstance(error, ReplyError):
        return error.code in _PASSING
    return isinstance(error, TierError) and not isinstance(error, TierTimeout)


def _without_errors(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


def _parse_info(text: bytes) -> dict[str, str]:
    lines = text.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _as_mapping(reply: Any) -> dict[bytes, bytes]:
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


def _fields(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _entry(place: bytes, fields: Mapping[bytes, bytes]) -> JournalEntry:
    return decode_entry(int(place.partition(b"-")[0]), int(fields[b"v"]), fields[b"p"])


def _letter(partition: int, place: bytes, fields: Mapping[bytes, bytes]) -> DeadLetter:
    entry = _entry(place, fields)
    reason = fields[b"r"].decode("utf-8", "replace")
    return DeadLetter(f"{partition:05d}-{entry.position:020d}", entry, reason, float(fields[b"t"]))


def _place(name: str) -> tuple[int, int] | None:
    """Return partition and place that a dead letter's id stands for, None for anything else."""
    partition, _, place = name.partition("-")
    return (int(partition), int(place)) if partition.isdigit() and place.isdigit() else None


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
