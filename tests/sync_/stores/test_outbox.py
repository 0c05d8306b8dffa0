# Generated from tests/async_/stores/test_outbox.py by tools/unasync.py. Do not edit.
"""
Notes that are kept in the transaction of a write: none without its write, none missed, none handed out twice at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sync_.stores.conftest import BAD_PRICE, OPENERS, StoreCase, product
from tiercel._paired import spawn
from tiercel.typing import OutboxStore, Change

KINDS = ("memory", "sqlite", "sqlite-mapped", "postgres", "postgres-mapped")


@pytest.fixture(params=KINDS)
def outbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OutboxStore]:
    """A store that keeps notes."""
    opened: StoreCase = OPENERS[request.param](request, tmp_path)
    assert isinstance(opened.store, OutboxStore)
    yield opened.store
    opened.store.close()


def put(key: str, version: int = 1) -> Change:
    return Change("acme", key, product(1), version)


def test_a_note_comes_back_until_it_is_deleted(outbox: OutboxStore) -> None:
    outbox.write_many([put("a")], note=b"first \x00\xff")
    outbox.write_many([put("b")], guard=True, note=b"second")
    notes = outbox.read_notes(10, lease_s=0.0)
    assert [note.payload for note in notes] == [b"first \x00\xff", b"second"]
    outbox.delete_notes([note.id for note in notes])
    outbox.delete_notes([note.id for note in notes])
    assert outbox.read_notes(10) == []


def test_the_oldest_notes_come_first(outbox: OutboxStore) -> None:
    for number in range(5):
        outbox.write_many([], note=str(number).encode())
    assert [note.payload for note in outbox.read_notes(3)] == [b"0", b"1", b"2"]
    assert [note.payload for note in outbox.read_notes(3)] == [b"3", b"4"]


def test_a_note_is_kept_whatever_became_of_the_rows(outbox: OutboxStore) -> None:
    outbox.write_many([put("a", 5)], guard=True)
    outbox.write_many([put("a", 4), Change("acme", "b", BAD_PRICE, 1)], guard=True, note=b"kept")
    large = [Change("acme", f"k{number}", product(number), 1) for number in range(300)]
    outbox.write_many([*large, Change("acme", "b", BAD_PRICE, 1)], note=b"large")
    assert [note.payload for note in outbox.read_notes(10)] == [b"kept", b"large"]


def test_concurrent_relays_share_the_notes(outbox: OutboxStore) -> None:
    count = 200
    seen: list[bytes] = []

    def publish(writer: int) -> None:
        for number in range(count // 4):
            outbox.write_many([put(f"w{writer}")], note=f"{writer}:{number}".encode())

    def relay() -> None:
        while len(seen) < count:
            notes = outbox.read_notes(7)
            seen.extend(note.payload for note in notes)
            outbox.delete_notes([note.id for note in notes])

    jobs = [spawn(f"publisher {writer}", publish, writer) for writer in range(4)]
    jobs += [spawn(f"relay {number}", relay) for number in range(3)]
    assert all([job.join(60) for job in jobs])
    assert len(seen) == len(set(seen)) == count
