"""
The backup: writes what a scope holds in Redis to a file, while everything goes on.

    1. the last id of each partition of the invalidation stream, and the server's time, are taken
    2. every primary is walked; records are copied as they are, sealed ones sealed
    3. the tokens of the scopes that were met, then journals and dead letters that live in Redis, are added

A record that changes between 1 and 3 is copied as it was or as it became; a restore goes by the stream from 1 on, so
that either is right. Entries may come twice. Memory is one page of records and one block.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tiercel._async.link import AsyncLink
from tiercel._backups.writer import BackupWriter
from tiercel._core.backupfile import Closing, Header, JournalRow, Kind, Place, pack_entries
from tiercel._core.backupscope import Scope, has_body
from tiercel._core.keys import KeySpace
from tiercel._core.message import pack_batch
from tiercel._core.tags import generation_hashes
from tiercel._paired import async_run_blocking, async_sleep
from tiercel.errors import ConfigurationError, TierError

PAGE = 1000
FIRST_FETCH = 32
LARGEST_FETCH = 1000
FETCH_BYTES = 2 * 1024 * 1024
BLOCK_BYTES = 512 * 1024
NODE = b"backup"

Progress = Callable[[int, int], None]
"""Told entries and bytes so far, once a page."""


def tell_nobody(entries: int, size_bytes: int) -> None:
    """Take no notice of *entries* and *size_bytes*."""


class AsyncBackup:
    """
    Args:
        link: The way to Redis.
        space: Names in it.
        scope: What to copy.
        partitions: Partitions of the invalidation stream.
        journals: Regions whose journal is in Redis, with their partitions.
        mac: Name and id of the key that authenticates the file.
        rate_per_s: Most entries a second; 0 for no limit.
        progress: Told how far it is.
    """

    def __init__(
        self,
        link: AsyncLink,
        space: KeySpace,
        scope: Scope,
        *,
        partitions: int,
        journals: Mapping[str, int],
        mac: tuple[str, str] = ("", ""),
        rate_per_s: float = 0.0,
        progress: Progress = tell_nobody,
    ) -> None:
        self._link = link
        self._space = space
        self._scope = scope
        self._partitions = partitions
        self._journals = journals
        self._mac = mac
        self._rate_per_s = rate_per_s
        self._progress = progress
        self._fetch = FIRST_FETCH
        self._scopes: set[tuple[str, str]] = set()
        self._begun_s = 0.0
        self._copied = 0

    async def run(self, path: Path, key: bytes = b"") -> dict[str, Any]:
        """
        Write the backup to *path*; an unfinished one of the same scope is carried on.

        Raises:
            TierError: Redis does not answer; what was written is carried on by the next run.
            ConfigurationError: The file cannot be written, or what is unfinished there is of another scope.
        """
        writer = BackupWriter(path, key)
        self._begun_s = time.monotonic()
        try:
            header, place = await self._begun(writer)
            await self._walk(writer, place)
            tags = await self._add_scopes(writer)
            journal = await self._add_journal(writer, "queue", Kind.JOURNAL)
            dead = await self._add_journal(writer, "dead", Kind.DEAD)
            closing = Closing(writer.entries, tags, journal, dead, await self._now_ms())
            await async_run_blocking(writer.finish, closing)
        finally:
            writer.close()
        took_s = time.monotonic() - self._begun_s
        return {
            "path": str(path),
            **msgspec.to_builtins(closing),
            "started_ms": header.started_ms,
            "size_bytes": writer.size_bytes,
            "took_s": round(took_s, 3),
            "per_s": round(self._copied / max(took_s, 1e-9)),
            "is_authenticated": bool(key),
        }

    async def _begun(self, writer: BackupWriter) -> tuple[Header, Place]:
        found = await async_run_blocking(writer.resume)
        if found is not None:
            header, place = found
            if (header.namespace, header.tenant, header.region) != self._identity():
                raise ConfigurationError(f"{writer.part} is an unfinished backup of another scope: remove it first")
            return header, place
        header = await self._header()
        await async_run_blocking(writer.begin, header)
        return header, Place("", b"0")

    def _identity(self) -> tuple[str, str | None, str | None]:
        return self._space.namespace, self._scope.tenant, self._scope.region

    async def _header(self) -> Header:
        positions = tuple([await self._position(number) for number in range(self._partitions)])
        started_ms = await self._now_ms()
        info = await self._link.each_primary("INFO", "server")
        text = next(iter(info.values())).decode("utf-8", "replace")
        server = next((line for line in text.splitlines() if line.startswith(("valkey_version", "redis_version"))), "")
        return Header(*self._identity(), started_ms, int(time.time() * 1000), positions, self._mac, server)

    async def _position(self, number: int) -> bytes:
        """Return a stream's last id; an empty one gets a first entry, or its loss could not be told."""
        stream = self._space.stream_key(number)
        last = await self._link.execute(b"XREVRANGE", stream, b"+", b"-", b"COUNT", 1)
        if last:
            return bytes(last[0][0])
        return bytes(await self._link.execute(b"XADD", stream, b"*", b"m", pack_batch(NODE, [])))

    async def _now_ms(self) -> int:
        seconds, micros = await self._link.execute(b"TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    # The walk.

    async def _walk(self, writer: BackupWriter, place: Place) -> None:
        pattern = self._scope.pattern(self._space)
        done = list(place.nodes_done)
        for node in sorted(await self._link.each_primary(b"PING")):
            cursor = place.cursor if node == place.node else b"0"
            while node not in done:
                cursor, names = await self._link.scan_step(node, cursor, pattern, PAGE)
                await self._copy(writer, names)
                if cursor == b"0":
                    done.append(node)
                await async_run_blocking(writer.add_place, Place(node, cursor, tuple(done)))
                self._progress(writer.entries, writer.size_bytes)
                await self._pace()

    async def _copy(self, writer: BackupWriter, names: Sequence[bytes]) -> None:
        wanted = [name for name in names if self._is_covered(name)]
        run: list[tuple[bytes, bytes]] = []
        size_bytes = 0
        while wanted:
            page, wanted = wanted[: self._fetch], wanted[self._fetch :]
            records = await self._link.execute_many([(b"GET", name) for name in page])
            fetched = 0
            for name, record in zip(page, records, strict=True):
                if isinstance(record, TierError):
                    raise record
                if isinstance(record, bytes):
                    fetched += len(record)
                    if has_body(record):
                        run.append((name, record))
            self._fetch = _next_fetch(len(page), fetched)
            size_bytes += fetched
            if size_bytes >= BLOCK_BYTES or not wanted:
                await self._add(writer, run)
                run, size_bytes = [], 0

    async def _add(self, writer: BackupWriter, run: list[tuple[bytes, bytes]]) -> None:
        if run:
            self._copied += len(run)
            await async_run_blocking(writer.add_entries, len(run), pack_entries(run))

    def _is_covered(self, name: bytes) -> bool:
        parsed = self._space.parse_entry(name)
        if parsed is None or not self._scope.covers(parsed[0], parsed[1]):
            return False
        self._scopes.add(parsed[:2])
        return True

    async def _pace(self) -> None:
        """Rest where the copy is ahead of the rate that was asked for."""
        if self._rate_per_s:
            ahead_s = self._copied / self._rate_per_s - (time.monotonic() - self._begun_s)
            if ahead_s > 0:
                await async_sleep(ahead_s)

    # What goes with the entries.

    async def _add_scopes(self, writer: BackupWriter) -> int:
        """Add the tokens of the tenants and regions that were met: entries carry only their mix."""
        scopes = sorted(self._scopes)
        hashes = sorted({tag for tenant, region in scopes for tag in generation_hashes(self._space, tenant, region)})
        for at in range(0, len(hashes), PAGE):
            page = hashes[at : at + PAGE]
            tokens = await self._link.execute_many([(b"GET", self._space.tag_key(tag)) for tag in page])
            found = {
                tag: int.from_bytes(token, "big")
                for tag, token in zip(page, tokens, strict=True)
                if isinstance(token, bytes)
            }
            await async_run_blocking(writer.add, Kind.TAGS, msgspec.msgpack.encode(found))
        return len(hashes)

    async def _add_journal(self, writer: BackupWriter, part: str, kind: Kind) -> int:
        count = 0
        for region, partitions in self._journals.items():
            for partition in range(partitions):
                stream = f"{{{self._space.namespace}:{region}:{partition}}}:{part}".encode()
                after = b"-"
                while rows := await self._link.execute(b"XRANGE", stream, after, b"+", b"COUNT", PAGE):
                    found = [_row(region, partition, fields) for _, fields in rows]
                    chosen = [row for row in found if self._is_own(row)]
                    count += len(chosen)
                    if chosen:
                        await async_run_blocking(writer.add, kind, msgspec.msgpack.encode(chosen))
                    after = b"(" + bytes(rows[-1][0])
        return count

    def _is_own(self, row: JournalRow) -> bool:
        tenant = msgspec.msgpack.decode(row.identity)[0]
        return self._scope.covers(tenant, row.region)


def _next_fetch(asked: int, fetched_bytes: int) -> int:
    """Return how many records to ask for next, so that a page of large ones does not fill the memory."""
    average = max(1, fetched_bytes // max(1, asked))
    return max(1, min(LARGEST_FETCH, FETCH_BYTES // average, asked * 4))


def _row(region: str, partition: int, fields: Any) -> JournalRow:
    values = list(fields.values()) if isinstance(fields, dict) else list(fields[1::2])
    names = list(fields) if isinstance(fields, dict) else list(fields[::2])
    found = dict(zip(map(bytes, names), map(bytes, values), strict=True))
    return JournalRow(
        region,
        partition,
        found[b"i"],
        found[b"v"],
        found[b"a"],
        found[b"p"],
        found.get(b"r", b""),
        found.get(b"t", b""),
    )
