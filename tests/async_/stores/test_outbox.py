"""
Notes that are kept in the transaction of a write: none without its write, none missed, none handed out twice at a time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.async_.stores.conftest import BAD_PRICE, OPENERS, StoreCase, product
from tiercel._paired import async_spawn
from tiercel.typing import AsyncOutboxStore, Change

KINDS = ("memory", "sqlite", "sqlite-mapped", "postgres", "postgres-mapped")


@pytest.fixture(params=KINDS)
async def outbox(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncOutboxStore]:
    """A store that keeps notes."""
    opened: StoreCase = await OPENERS[request.param](request, tmp_path)
    assert isinstance(opened.store, AsyncOutboxStore)
    yield opened.store
    await opened.store.aclose()


def put(key: str, version: int = 1) -> Change:
    return Change("acme", key, product(1), version)


async def test_a_note_comes_back_until_it_is_deleted(outbox: AsyncOutboxStore) -> None:
    await outbox.write_many([put("a")], note=b"first \x00\xff")
    await outbox.write_many([put("b")], guard=True, note=b"second")
    notes = await outbox.read_notes(10, lease_s=0.0)
    assert [note.payload for note in notes] == [b"first \x00\xff", b"second"]
    await outbox.delete_notes([note.id for note in notes])
    await outbox.delete_notes([note.id for note in notes])
    assert await outbox.read_notes(10) == []


async def test_the_oldest_notes_come_first(outbox: AsyncOutboxStore) -> None:
    for number in range(5):
        await outbox.write_many([], note=str(number).encode())
    assert [note.payload for note in await outbox.read_notes(3)] == [b"0", b"1", b"2"]
    assert [note.payload for note in await outbox.read_notes(3)] == [b"3", b"4"]


async def test_a_note_is_kept_whatever_became_of_the_rows(outbox: AsyncOutboxStore) -> None:
    await outbox.write_many([put("a", 5)], guard=True)
    await outbox.write_many([put("a", 4), Change("acme", "b", BAD_PRICE, 1)], guard=True, note=b"kept")
    large = [Change("acme", f"k{number}", product(number), 1) for number in range(300)]
    await outbox.write_many([*large, Change("acme", "b", BAD_PRICE, 1)], note=b"large")
    assert [note.payload for note in await outbox.read_notes(10)] == [b"kept", b"large"]


async def test_concurrent_relays_share_the_notes(outbox: AsyncOutboxStore) -> None:
    count = 200
    seen: list[bytes] = []

    async def publish(writer: int) -> None:
        for number in range(count // 4):
            await outbox.write_many([put(f"w{writer}")], note=f"{writer}:{number}".encode())

    async def relay() -> None:
        while len(seen) < count:
            notes = await outbox.read_notes(7)
            seen.extend(note.payload for note in notes)
            await outbox.delete_notes([note.id for note in notes])

    jobs = [async_spawn(f"publisher {writer}", publish, writer) for writer in range(4)]
    jobs += [async_spawn(f"relay {number}", relay) for number in range(3)]
    assert all([await job.join(60) for job in jobs])
    assert len(seen) == len(set(seen)) == count
