"""
The restore: puts back what a backup holds and what still holds, and nothing else.

The whole file is checked first. Then, entry by entry, the authority is asked: what fell, was written or erased since
the backup, what carries a tag that was renewed, what has ended, and what the target has something newer for, stays out.
The stream is read again before every page and once more at the end:

    1. the restore has read the stream; entry K has not fallen
    2. K is invalidated: a tombstone, then a message
    3. the restore writes K: the tombstone refuses it. Were the tombstone gone by then (it lives a minute), the stream
       would have been read again in between; and what fell while the restore went on is made to fall again at the end

How far it has come is kept in the target, so that an interrupted restore is seen there and carried on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from tiercel._async.authority import AsyncAuthority
from tiercel._async.link import AsyncLink
from tiercel._backups.reader import BackupReader, entries_of, journal_of
from tiercel._core.backupfile import Header, JournalRow, Kind
from tiercel._core.backupscope import has_body, kept_until_ms, moved, tags_of
from tiercel._core.frame import TagToken
from tiercel._core.keys import KeySpace, encode_key, hash64
from tiercel._core.restorereport import RestoreReport
from tiercel._core.subjects import SubjectBook
from tiercel._core.tags import fresh_token, generation_hashes
from tiercel._paired import async_run_blocking, async_sleep
from tiercel.errors import DecodeError, TierError
from tiercel.scripts import load_script

RESTORE = load_script("restore")
JOURNAL_RESTORE = load_script("journal_restore")
TAKE_BACK = load_script("take_back")
PAGE = 500
TOKEN_LIFE_MS = 7 * 24 * 3600 * 1000
TOMBSTONE_MS = 120_000
MARK = "restore"
JITTER_MS = 500
"""Clocks that differ by less than this are the same clock, read with a round trip in between."""

Entry = tuple[bytes, bytes, list[TagToken]]
Progress = Callable[[int, int], None]
"""Told blocks done and blocks in all."""


def tell_nobody(done: int, total: int) -> None:
    """Take no notice of *done* of *total*."""


class AsyncRestore:
    """
    Args:
        target: The Redis to restore into.
        space: Names in it.
        source: The Redis that the backup came from, where it is another one and still alive.
        subjects: Whose data an entry is.
        erased: (tenant, subject) of what is noted as erased beside the backups.
        journals: Regions whose journal is in Redis, with their partitions.
        is_dry_run: Say what would be restored, and write nothing.
        rate_per_s: Most entries a second; 0 for no limit.
        progress: Told how far it is.
    """

    def __init__(
        self,
        target: AsyncLink,
        space: KeySpace,
        *,
        source: AsyncLink | None = None,
        subjects: SubjectBook,
        erased: frozenset[tuple[str, str]] = frozenset(),
        journals: Mapping[str, int],
        is_dry_run: bool = False,
        rate_per_s: float = 0.0,
        progress: Progress = tell_nobody,
    ) -> None:
        self._target = target
        self._space = space
        self._source = source
        self._subjects = subjects
        self._erased = erased
        self._journals = journals
        self._rate_per_s = rate_per_s
        self._progress = progress
        self._shift_ms = 0
        self._now_ms = 0
        self._looked = 0
        self.report = RestoreReport(is_dry_run=is_dry_run)

    async def run(self, path: Path, key: bytes = b"") -> RestoreReport:
        """
        Check *path* and put back what holds.

        Raises:
            Damage: The file is damaged or was changed; nothing was written.
            TierError: A Redis does not answer; the next run of the same file carries on.
        """
        reader = BackupReader(path, key)
        header, _ = await async_run_blocking(reader.check)
        authority = AsyncAuthority(self._source or self._target, self._space, header)
        await self._prepare(header, authority)
        first = await self._begun(reader)
        started_s = time.monotonic()
        blocks = reader.blocks_from(first)
        while page := await async_run_blocking(_next_of, blocks):
            for number, kind, plain in page:
                await self._block(authority, reader, kind, plain)
                await self._mark(reader, number + 1, "running")
                self._progress(number + 1, reader.blocks)
                await self._pace(started_s)
        if not self.report.gap:
            await self._settle(authority)
        await self._mark(reader, reader.blocks, "done")
        return self.report

    async def _prepare(self, header: Header, authority: AsyncAuthority) -> None:
        """Learn what happened since the backup, and how far the target's clock is off the backup's."""
        self.report.gap = await authority.gap()
        if not self.report.gap:
            try:
                await authority.catch_up()
            except DecodeError as error:
                self.report.gap = str(error)
        self._erased |= authority.erased_subjects
        seconds, micros = await self._target.execute(b"TIME")
        self._now_ms = int(seconds) * 1000 + int(micros) // 1000
        shift_ms = (self._now_ms - int(time.time() * 1000)) - (header.started_ms - header.wall_ms)
        self._shift_ms = shift_ms if abs(shift_ms) > JITTER_MS else 0
        if self._source is not None and not self.report.gap:
            await self._copy_subject_keys(self._source)

    async def _begun(self, reader: BackupReader) -> int:
        """Return the number of the first block that is to do."""
        kept = await self._target.execute(b"GET", self._space.own_key(MARK))
        note = json.loads(kept) if isinstance(kept, bytes) else {}
        if note.get("file") == reader.digest.hex() and note.get("state") == "running" and not self.report.is_dry_run:
            self.report.is_resumed = True
            return int(note["done"])
        return 0

    async def _mark(self, reader: BackupReader, done: int, state: str) -> None:
        if not self.report.is_dry_run:
            note = {"file": reader.digest.hex(), "done": done, "blocks": reader.blocks, "state": state}
            await self._target.execute(b"SET", self._space.own_key(MARK), json.dumps(note).encode())

    async def _pace(self, started_s: float) -> None:
        if self._rate_per_s:
            ahead_s = self._looked / self._rate_per_s - (time.monotonic() - started_s)
            if ahead_s > 0:
                await async_sleep(ahead_s)

    # Entries.

    async def _block(self, authority: AsyncAuthority, reader: BackupReader, kind: Kind, plain: bytes) -> None:
        if kind is Kind.ENTRIES:
            entries = entries_of(plain)
            while page := list(islice(entries, PAGE)):
                self._looked += len(page)
                await self._page(authority, page)
        elif kind in (Kind.JOURNAL, Kind.DEAD):
            await self._journal(authority, reader.digest.hex(), kind, journal_of(plain))

    async def _page(self, authority: AsyncAuthority, page: Sequence[tuple[bytes, bytes]]) -> None:
        if self.report.gap:
            self.report.unprovable += len(page)
            return
        await self._fall_again(*await authority.catch_up())
        entries = [(name, record, tags_of(record)) for name, record in page if has_body(record)]
        chosen = [entry for entry in entries if self._may_return(authority, entry)]
        tags = self._tags(chosen)
        await authority.learn(tags)
        taken = await self._same_tokens(authority, tags)
        holding = [entry for entry in chosen if self._holds(authority, entry, taken)]
        self.report.outdated += len(chosen) - len(holding)
        await self._put([(name, record) for name, record, _ in holding])

    def _may_return(self, authority: AsyncAuthority, entry: Entry) -> bool:
        name, record, tags = entry
        report = self.report
        parsed = self._space.parse_entry(name)
        if parsed is None or kept_until_ms(record) + self._shift_ms <= self._now_ms:
            report.expired += 1
        elif authority.is_erased(name, tags) or self._is_subject_erased(*parsed):
            report.erased += 1
        elif authority.has_fallen(name):
            report.changed += 1
        else:
            return True
        return False

    def _is_subject_erased(self, tenant: str, region: str, key: str | bytes) -> bool:
        subject = self._subjects.subject_of(region, key) if self._erased else None
        return subject is not None and (tenant, subject) in self._erased

    def _tags(self, entries: Iterable[Entry]) -> set[int]:
        """Return every tag whose token decides about *entries*, implied scopes included."""
        tags: set[int] = set()
        for name, _, carried in entries:
            parsed = self._space.parse_entry(name)
            if parsed is not None:
                tags.update(generation_hashes(self._space, parsed[0], parsed[1]))
            tags.update(tag for tag, _ in carried if tag)
        return tags

    async def _same_tokens(self, authority: AsyncAuthority, tags: set[int]) -> set[int]:
        """Give a new target the source's tokens; return the tags that have the same token in both."""
        known = [(tag, token) for tag in tags if (token := authority.token(tag)) is not None]
        if self._source is None or self.report.is_dry_run:
            return {tag for tag, _ in known}
        commands: list[Any] = []
        for tag, token in known:
            name = self._space.tag_key(tag)
            commands += [(b"SET", name, token.to_bytes(8, "big"), b"NX", b"PX", TOKEN_LIFE_MS), (b"GET", name)]
        replies = await self._target.execute_many(commands)
        return {
            tag for (tag, token), reply in zip(known, replies[1::2], strict=True) if reply == token.to_bytes(8, "big")
        }

    def _holds(self, authority: AsyncAuthority, entry: Entry, taken: set[int]) -> bool:
        name, _, tags = entry
        parsed = self._space.parse_entry(name)
        if parsed is None or not authority.holds(parsed[0], parsed[1], tags):
            return False
        scopes = generation_hashes(self._space, parsed[0], parsed[1])
        return all(tag in taken for tag in (*scopes, *(tag for tag, _ in tags if tag)))

    async def _put(self, entries: Sequence[tuple[bytes, bytes]]) -> None:
        if self.report.is_dry_run:
            self.report.restored += len(entries)
            return
        calls: list[Any] = []
        for name, record in entries:
            fresh = moved(record, self._shift_ms)
            calls.append(([name], [fresh, kept_until_ms(fresh)]))
        for reply in await self._target.script_many(RESTORE, calls) if calls else ():
            if isinstance(reply, TierError):
                raise reply
            self.report.restored += reply == 1
            self.report.occupied += reply == 0
            self.report.expired += reply == -1

    # What happened meanwhile.

    async def _fall_again(self, names: Sequence[bytes], tags: Sequence[int]) -> None:
        """Make fall in the target what fell at the authority after the restore began."""
        if self.report.is_dry_run or not (names or tags):
            return
        began = self._now_ms.to_bytes(8, "big")
        calls: list[Any] = [([name], [hash64(name).to_bytes(8, "big"), began, TOMBSTONE_MS]) for name in names]
        for reply in await self._target.script_many(TAKE_BACK, calls) if calls else ():
            if isinstance(reply, TierError):
                raise reply
            self.report.taken_back += reply
        if self._source is not None and tags:
            renewed = [
                (b"SET", self._space.tag_key(tag), fresh_token().to_bytes(8, "big"), b"XX", b"PX", TOKEN_LIFE_MS)
                for tag in tags
            ]
            await self._target.execute_many(renewed)

    async def _settle(self, authority: AsyncAuthority) -> None:
        await self._fall_again(*await authority.catch_up())

    async def _copy_subject_keys(self, source: AsyncLink) -> None:
        """Take the keys of subjects along to a new target: without them their entries open nowhere."""
        if self.report.is_dry_run:
            return
        prefix = self._space.own_key("subject")
        async for names in source.scan(prefix.replace(b"[", b"\\[") + b":*", PAGE):
            records = await source.execute_many([(b"GET", name) for name in names])
            await self._put_keys([(n, r) for n, r in zip(names, records, strict=True) if isinstance(r, bytes)])

    async def _put_keys(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        calls: list[Any] = []
        for name, record in records:
            if has_body(record):
                fresh = moved(record, self._shift_ms)
                calls.append(([name], [fresh, kept_until_ms(fresh)]))
        if calls:
            await self._target.script_many(RESTORE, calls)

    # Journals.

    async def _journal(self, authority: AsyncAuthority, file: str, kind: Kind, rows: Sequence[JournalRow]) -> None:
        groups: dict[tuple[str, int], list[JournalRow]] = {}
        for row in rows:
            if self._may_queue(authority, row):
                groups.setdefault((row.region, row.partition), []).append(row)
            else:
                self.report.journal_left += 1
        for (region, partition), group in groups.items():
            added = 0 if self.report.is_dry_run else await self._queue(file, kind, region, partition, group)
            self.report.journal_left += len(group) - added
            if kind is Kind.JOURNAL:
                self.report.journal += added
            else:
                self.report.dead += added

    def _may_queue(self, authority: AsyncAuthority, row: JournalRow) -> bool:
        if self.report.gap or self._journals.get(row.region, 0) <= row.partition:
            return False
        tenant, key = msgspec.msgpack.decode(row.identity)
        name = self._space.entry_prefix(tenant, row.region) + encode_key(key)
        return not (authority.is_erased(name, ()) or self._is_subject_erased(tenant, row.region, key))

    async def _queue(self, file: str, kind: Kind, region: str, partition: int, rows: Sequence[JournalRow]) -> int:
        prefix = f"{{{self._space.namespace}:{region}:{partition}}}:"
        keys = [f"{prefix}{part}".encode() for part in ("state", "queue", "newest", "dead", "why")]
        args: list[Any] = [file.encode(), b"queue" if kind is Kind.JOURNAL else b"dead"]
        for row in rows:
            args += [row.identity, row.version, row.accepted, row.payload, row.reason, row.parked]
        return int(await self._target.script(JOURNAL_RESTORE, keys, args))


def _next_of(blocks: Any) -> list[tuple[int, Kind, bytes]]:
    return list(islice(blocks, 1))
