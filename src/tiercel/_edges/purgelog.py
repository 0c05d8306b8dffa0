"""
The purge log: what was asked to be purged, what was sent, what came of it; one SQLite file a distribution.

::

    item   pending ──batched──▶ done                batch   new ──sent──▶ done
                └─▶ left_to_ttl  └─▶ failed ─replay─▶ pending        └─▶ dead (its items: failed)

A request for what is pending already joins that item, which is the deduplication; one for what is batched makes a new
item, because the copy may have been fetched again meanwhile. A batch is stored with its reference before it is sent,
so a crash at any point leads to the same request under the same reference and never to a lost one. Acknowledged means
written: WAL with ``synchronous=FULL``.

Several processes of one machine may share the file; one of them holds the lease and sends. Thread-safe; each call is
one transaction.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

from tiercel._edges import purgesql as sql
from tiercel.cdn.budget import month_bounds
from tiercel.cdn.planner import Batch, InProgress
from tiercel.cdn.purge import PurgeItem, PurgeStatus
from tiercel.cdn.tagdictionary import Meaning
from tiercel.errors import TierUnavailable

T = TypeVar("T")
MAX_NAMES = 10_000
"""Most portable tags whose meaning is kept."""


@dataclass(frozen=True, slots=True)
class PendingItem:
    """One item that waits: its number, whose it is, and whether the origin must drop what it covers first."""

    id: int
    tenant: str
    item: PurgeItem
    created_s: float
    asked: int
    drop_asked: int
    needs_drop: bool
    is_second: bool


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """One request on its way; ``provider_id`` is None until the CDN has answered."""

    reference: str
    items: tuple[PurgeItem, ...]
    provider_id: str | None
    tries: int
    not_before_s: float
    created_s: float


@dataclass(slots=True)
class _Asked:
    """One call of `PurgeLog.add` on its way into a shared transaction."""

    rows: list[tuple[Any, ...]]
    names: list[tuple[str, str, str, float]]
    added: list[tuple[int, int]] | None = None
    error: TierUnavailable | None = None


class PurgeLog:
    """
    The log in *file*, made where it is missing; None keeps it in memory, and then it ends with the process.

    Raises:
        TierUnavailable: the file cannot be opened or written.
    """

    def __init__(self, file: Path | None) -> None:
        self._lock = threading.Lock()
        self._lobby: list[_Asked] = []
        self._lobby_lock = threading.Lock()
        self._door = threading.Lock()
        try:
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                str(file or ":memory:"), isolation_level=None, check_same_thread=False, timeout=30
            )
            self._connection.execute("PRAGMA journal_mode=WAL").fetchall()
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.executescript(sql.SCHEMA)
            self._connection.execute("INSERT OR IGNORE INTO meta VALUES ('log', ?)", (secrets.token_hex(6),))
            self._name = str(self._connection.execute("SELECT value FROM meta WHERE name = 'log'").fetchone()[0])
        except (OSError, sqlite3.Error) as error:
            raise TierUnavailable(f"purge log {file}: {error}", tier="cdn", operation="open") from error

    def close(self) -> None:
        """Close the file; calling twice is harmless."""
        with self._lock:
            self._connection.close()

    # -- asking
    # ---------------------------------------------------------------------------------------------------------------

    def add(
        self,
        tenant: str,
        items: Iterable[PurgeItem],
        *,
        drop: bool,
        now: float,
        names: Mapping[str, Meaning] | None = None,
    ) -> list[tuple[int, int]]:
        """
        Store *items* as pending, with what *names* in them stand for, and return (number, drops asked so far) of each;
        durable once this returns.

        Calls that arrive while another one is being written share the next write to the disk.
        """
        rows = [(tenant, item.kind, item.value, item.soft, item.group, int(drop), now) for item in items]
        asked = _Asked(rows, [(name, *meaning, now) for name, meaning in (names or {}).items()])
        with self._lobby_lock:
            self._lobby.append(asked)
        with self._door:
            if asked.added is None and asked.error is None:
                self._write_lobby()
        if asked.error is not None:
            raise asked.error
        return asked.added or []

    def _write_lobby(self) -> None:
        with self._lobby_lock:
            group, self._lobby = self._lobby, []
        try:
            with self._transaction() as run:
                added = [[run(sql.ADD, row).fetchone() for row in asked.rows] for asked in group]
                for named in (named for asked in group for named in asked.names):
                    run(sql.NAME, named)
        except BaseException as error:
            for asked in group:  # nobody in the group may take silence for success
                asked.error = TierUnavailable(f"purge log: {error}", tier="cdn", operation="purge")
            if isinstance(error, TierUnavailable):
                return
            raise
        for asked, numbers in zip(group, added, strict=True):
            asked.added = numbers

    def dropped(self, added: Iterable[tuple[int, int]]) -> None:
        """Note that the origin has dropped what these items cover, as often as was asked then."""
        with self._transaction() as run:
            for number, drops in added:
                run("UPDATE items SET dropped = max(dropped, ?) WHERE id = ?", (drops, number))

    def add_again(self, items: Iterable[PendingItem], due_s: float) -> None:
        """Store a second purge of *items*, to become pending at *due_s*; a later one replaces an earlier one."""
        with self._transaction() as run:
            for row in items:
                item = row.item
                named = (due_s, row.tenant, item.kind, item.value, item.soft, item.group)
                run("INSERT OR REPLACE INTO later VALUES (?, ?, ?, ?, ?, ?)", named)

    def wake(self, now: float) -> int:
        """Make second purges that are due pending; return how many there were."""
        with self._transaction() as run:
            due = run("SELECT tenant, kind, value, soft, family FROM later WHERE due_s <= ?", (now,)).fetchall()
            for named in due:
                run(sql.ADD, (*named, 0, now)).fetchone()
                run(sql.MARK_SECOND, named[1:4])
            run("DELETE FROM later WHERE due_s <= ?", (now,))
        return len(due)

    def status(self, numbers: Sequence[int]) -> PurgeStatus:
        """
        Return the state that the items share: failed before pending before left to ttl before done; forgotten ones
        are done.
        """
        rows = [row for chunk in _chunks(numbers) for row in self._read(sql.IN_STATE.format(_marks(chunk)), chunk)]
        states = {state: (done_s, detail) for state, done_s, detail in rows}
        for state, name in (
            ("failed", "failed"),
            ("pending", "pending"),
            ("batched", "pending"),
            ("left_to_ttl", "left_to_ttl"),
        ):
            if state in states:
                done_s, detail = states[state]
                return PurgeStatus(name, None if name == "pending" else done_s, detail)  # type: ignore[arg-type]
        return PurgeStatus("done", states["done"][0] if "done" in states else None)

    # -- sending
    # --------------------------------------------------------------------------------------------------------------

    def pending(self, limit: int = 100_000) -> list[PendingItem]:
        """Return what waits, oldest first."""
        return [_pending_item(*row) for row in self._read(sql.PENDING, (limit,))]

    def store_batches(
        self, batches: Sequence[Batch], rows: Mapping[PurgeItem, Sequence[PendingItem]], now: float
    ) -> list[str]:
        """
        Store *batches* under new references and count their cost; from here on they will be sent, crash or not.

        What is no longer pending is left out: a leader that slept through the end of its lease stores nothing twice.
        """
        references = []
        with self._transaction() as run:
            waiting = {number for (number,) in run("SELECT id FROM items WHERE state = 'pending'")}
            for batch in batches:
                asking = [
                    [row for item in askers for row in rows[item] if row.id in waiting] for askers in batch.askers
                ]
                items = [item for item, askers in zip(batch.items, asking, strict=True) if askers]
                if items:
                    references.append(self._store(run, items, [askers for askers in asking if askers], now))
        return references

    def _store(self, run: Any, items: Sequence[PurgeItem], asking: Sequence[Sequence[PendingItem]], now: float) -> str:
        reference = self._insert(run, items, now)
        for place, askers in enumerate(asking):
            for row in askers:
                run("INSERT OR IGNORE INTO covers VALUES (?, ?, ?)", (reference, place, row.id))
                run("UPDATE items SET state = 'batched' WHERE id = ?", (row.id,))
        _count(run, [row for askers in asking for row in askers], len(items), now)
        return reference

    def leave_to_ttl(self, numbers: Iterable[int], now: float, detail: str) -> None:
        """Give up sending these items: their copies end with their ttl."""
        with self._transaction() as run:
            for number in numbers:
                run(
                    "UPDATE items SET state = 'left_to_ttl', done_s = ?, detail = ? WHERE id = ? AND state = 'pending'",
                    (now, detail, number),
                )

    def batches(self, state: str) -> list[StoredBatch]:
        """Return the batches in *state*, oldest first."""
        columns = "reference, named, provider_id, tries, not_before_s, created_s"
        rows = self._read(f"SELECT {columns} FROM batches WHERE state = ? ORDER BY seq", (state,))
        return [StoredBatch(row[0], _items(row[1]), *row[2:]) for row in rows]

    def in_progress(self) -> InProgress:
        """Return what was stored to be sent and is not finished."""
        return InProgress(*self._read(sql.IN_PROGRESS)[0])

    # A sender that slept through its lease comes back with news of a batch that the next one has moved on. A batch
    # therefore never goes back: from new to sent, and from either to an end.

    def sent(self, reference: str, provider_id: str, now: float) -> None:
        """Note that the CDN accepted the batch and how to ask for it."""
        self._write(
            "UPDATE batches SET state = 'sent', provider_id = ?, sent_s = ?, error = '' "
            "WHERE reference = ? AND state = 'new'",
            provider_id,
            now,
            reference,
        )

    def postpone(self, reference: str, until_s: float, error: str) -> None:
        """Note a failed try; the batch is not to be sent before *until_s*."""
        self._write(
            "UPDATE batches SET tries = tries + 1, not_before_s = ?, error = ? WHERE reference = ? AND state = 'new'",
            until_s,
            error,
            reference,
        )

    def done(self, reference: str, now: float) -> None:
        """Note that the batch is complete everywhere; its items are done unless another batch still covers them."""
        with self._transaction() as run:
            run("UPDATE batches SET state = 'done', done_s = ? WHERE reference = ?", (now, reference))
            run(sql.FINISH_ITEMS, (now, reference))

    def refused(self, reference: str, now: float, error: str) -> None:
        """Park the batch and its items as dead letters, with the CDN's reason."""
        with self._transaction() as run:
            if run(sql.REFUSE, (now, error, reference)).rowcount:
                run(sql.FAIL_ITEMS, (now, error, reference))

    def split(self, batch: StoredBatch, now: float) -> None:
        """Replace a refused batch by its two halves, so that in the end only the item at fault is parked."""
        half = len(batch.items) // 2
        with self._transaction() as run:
            if not run("DELETE FROM batches WHERE reference = ? AND state = 'new'", (batch.reference,)).rowcount:
                return
            for start, end in ((0, half), (half, len(batch.items))):
                reference = self._insert(run, batch.items[start:end], now)
                run(sql.COVER_PART, (reference, start, batch.reference, start, end))
            run("DELETE FROM covers WHERE reference = ?", (batch.reference,))

    # -- keeping house
    # --------------------------------------------------------------------------------------------------------

    def dead(self, limit: int = 1000) -> list[tuple[int, PurgeItem, str]]:
        """Return the dead letters: number, item, reason."""
        rows = self._read(
            "SELECT id, kind, value, soft, family, detail FROM items WHERE state = 'failed' ORDER BY id LIMIT ?",
            (limit,),
        )
        return [(row[0], PurgeItem(row[1], row[2], bool(row[3]), row[4]), row[5]) for row in rows]

    def meanings(self, names: Iterable[str]) -> dict[str, Meaning]:
        """Return what portable tags stand for, by name; those of purges long over are not known any more."""
        wanted = list(dict.fromkeys(names))
        columns = "SELECT name, tenant, tag FROM names WHERE name IN ({})"
        rows = [row for chunk in _chunks(wanted) for row in self._read(columns.format(_marks(chunk)), chunk)]
        return {name: Meaning(tenant, tag) for name, tenant, tag in rows}

    def replay(self, now: float) -> int:
        """Ask again for every dead letter; return how many."""
        rows = self._read("SELECT id, tenant, kind, value, soft, family, drop_asked FROM items WHERE state = 'failed'")
        with self._transaction() as run:
            for number, tenant, kind, value, soft, family, drops in rows:
                run(sql.ADD, (tenant, kind, value, soft, family, int(drops > 0), now)).fetchone()
                run("DELETE FROM items WHERE id = ?", (number,))
        return len(rows)

    def forget(self, before_s: float) -> None:
        """Delete finished items and batches that ended before *before_s*; dead letters stay."""
        with self._transaction() as run:
            run("DELETE FROM items WHERE done_s < ? AND state IN ('done', 'left_to_ttl')", (before_s,))
            run(sql.FORGET_COVERS, (before_s,))
            run("DELETE FROM batches WHERE done_s < ? AND state = 'done'", (before_s,))
            run(sql.FORGET_NAMES, (before_s, MAX_NAMES))

    def lead(self, owner: str, now: float, ttl_s: float) -> bool:
        """Take or renew the lease; False while another owner holds it."""
        taken = self._write(sql.LEAD, owner, now + ttl_s, now)
        return taken > 0

    def resign(self, owner: str) -> None:
        """Give the lease back, so that the next process need not wait for its end."""
        self._write("DELETE FROM lease WHERE owner = ?", owner)

    def spent(self, now: float, *, tenant: str | None = None, hours: int | None = None) -> int:
        """Return the items sent this month, or in the last *hours*; of one tenant, or all."""
        since_hour = month_bounds(now)[0] // 3600 if hours is None else now // 3600 - hours + 1
        where, values = (
            ("hour >= ?", [since_hour]) if tenant is None else ("hour >= ? AND tenant = ?", [since_hour, tenant])
        )
        return int(self._read(f"SELECT coalesce(sum(items), 0) FROM spend WHERE {where}", values)[0][0])

    def counts(self) -> dict[str, int]:
        """Return how many items are in each state, how many purges were asked for and how many items were sent."""
        counts = dict.fromkeys(("pending", "batched", "done", "failed", "left_to_ttl"), 0)
        counts.update(dict(self._read("SELECT state, count(*) FROM items GROUP BY state")))
        asked, sent = self._read("SELECT coalesce(sum(asked), 0), coalesce(sum(items), 0) FROM spend")[0]
        return counts | {"asked_total": asked, "sent_total": sent}

    # -- inside
    # ---------------------------------------------------------------------------------------------------------------

    def _insert(self, run: Any, items: Sequence[PurgeItem], now: float) -> str:
        named = json.dumps(
            [[item.kind, item.value, int(item.soft), item.group] for item in items], separators=(",", ":")
        )
        prefixes = sum(item.kind in ("prefix", "all") for item in items)
        # The number makes it new although the same items were purged before; the hash ties it to its content.
        draft = run(
            "INSERT INTO batches (reference, named, items, prefixes, created_s) VALUES (?, ?, ?, ?, ?)",
            (secrets.token_hex(16), named, len(items), prefixes, now),
        ).lastrowid
        reference = f"tiercel-{self._name}-{draft}-{blake2b(named.encode(), digest_size=8).hexdigest()}"
        run("UPDATE batches SET reference = ? WHERE seq = ?", (reference, draft))
        return reference

    def _read(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock:
            try:
                return self._connection.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise TierUnavailable(f"purge log: {error}", tier="cdn", operation="purge") from error

    def _write(self, statement: str, *values: Any) -> int:
        with self._transaction() as run:
            return int(run(statement, values).rowcount)

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection.execute
                self._connection.execute("COMMIT")
            except BaseException as error:
                if self._connection_open() and self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise TierUnavailable(f"purge log: {error}", tier="cdn", operation="purge") from error
                raise

    def _connection_open(self) -> bool:
        try:
            return self._connection.total_changes >= 0
        except sqlite3.ProgrammingError:
            return False


def _count(run: Any, covered: Sequence[PendingItem], items: int, now: float) -> None:
    """Charge *items* to the tenants that asked, in proportion, the first one taking what is left over."""
    asked: dict[str, int] = {}
    for row in covered:
        asked[row.tenant] = asked.get(row.tenant, 0) + row.asked
    total, left = sum(asked.values()), items
    for position, (tenant, count) in enumerate(sorted(asked.items(), key=lambda pair: -pair[1])):
        share = left if position == len(asked) - 1 else min(left, -(-items * count // max(1, total)))
        left -= share
        run(sql.SPEND, (int(now // 3600), tenant, share, count))


def _pending_item(
    number: int, tenant: str, kind: Any, value: str, soft: int, family: str, created_s: float, *counters: int
) -> PendingItem:
    asked, drops, dropped, second = counters
    item = PurgeItem(kind, value, bool(soft), family)
    return PendingItem(number, tenant, item, created_s, asked, drops, dropped < drops, bool(second))


def _items(named: str) -> tuple[PurgeItem, ...]:
    return tuple(PurgeItem(kind, value, bool(soft), group) for kind, value, soft, group in json.loads(named))


def _chunks(values: Sequence[T], size: int = 500) -> list[Sequence[T]]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def _marks(values: Sequence[Any]) -> str:
    return ",".join("?" * len(values))
