"""
What every far tier does: one suite for the one in this process, Redis, Valkey and a Redis Cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tiercel._async.memory_tier import AsyncMemoryTier
from tiercel._async.redis import AsyncRedisTier
from tiercel._async.tier import AsyncFarTier
from tiercel._core import record
from tiercel._core.frame import Flag, Frame, State
from tiercel._core.keys import hash64
from tiercel._core.record import CommitOutcome, Grant, Windows, fingerprint
from tiercel._paired import AsyncPoll
from tiercel.errors import ReplyError

MakeName = Callable[[], bytes]
LIFE = Windows(60_000, 5_000, 10_000)
TOMBSTONE_MS = 60_000
LEASE_MS = 30_000


def frame(name: bytes, version: int = 0, payload: bytes = b"value", **fields: Any) -> Frame:
    return Frame(State.LIVE, hash64(name), version=version, payload=payload, **fields)


async def test_a_record_comes_back_with_the_times_of_the_server(far: AsyncFarTier, name: MakeName) -> None:
    key = name()
    sent = frame(key, 7, tags=((1, 2), (3, 4)), codec=3, flags=Flag.COMPRESSED, load_cost_us=12)
    assert (await far.store(key, sent, LIFE)).outcome is CommitOutcome.STORED
    found = await far.get(key)
    assert found is not None
    assert (found.payload, found.tags, found.version, found.floor) == (b"value", ((1, 2), (3, 4)), 7, 7)
    assert (found.codec, found.flags, found.load_cost_us) == (3, Flag.COMPRESSED, 12)
    ends = (found.fresh_until_ms, found.stale_until_ms, found.kept_until_ms)
    assert [end - found.created_ms for end in ends] == [60_000, 65_000, 75_000]
    assert abs(found.created_ms - far.now_ms()) < 5_000
    assert await far.get(name()) is None


async def test_a_record_is_gone_when_its_windows_are_over(far: AsyncFarTier, name: MakeName) -> None:
    key = name()
    await far.store(key, frame(key), Windows(20))
    poll = AsyncPoll(5.0)
    while await far.get(key) is not None:
        assert await poll.again()


@pytest.mark.parametrize("version", [0, 5])
async def test_one_loader_has_the_lease_and_the_others_wait(far: AsyncFarTier, name: MakeName, version: int) -> None:
    key = name()
    assert (await far.begin_fill(key, 11, LEASE_MS, b"")).grant is Grant.GRANTED
    busy = await far.begin_fill(key, 12, LEASE_MS, b"")
    assert busy.grant is Grant.BUSY
    assert 0 < busy.retry_after_ms <= LEASE_MS
    assert await far.get(key) is None or not (await far.get(key)).has_body  # type: ignore[union-attr]
    assert (await far.commit_fill(key, 12, frame(key), LIFE)).outcome is CommitOutcome.LEASE_LOST
    reply = await far.commit_fill(key, 11, frame(key, version), LIFE)
    assert (reply.outcome, reply.is_awaited) == (CommitOutcome.STORED, True)
    hit = await far.begin_fill(key, 13, LEASE_MS, b"")
    assert hit.grant is Grant.HIT
    assert hit.frame is not None
    assert hit.frame.payload == b"value"


async def test_a_record_judged_unusable_is_loaded_anew_and_stays_until_then(far: AsyncFarTier, name: MakeName) -> None:
    key = name()
    await far.store(key, frame(key), LIFE)
    unusable = fingerprint(await far.get(key))
    granted = await far.begin_fill(key, 21, LEASE_MS, unusable)
    assert granted.grant is Grant.GRANTED
    assert granted.frame is not None
    assert (await far.begin_fill(key, 22, LEASE_MS, unusable)).grant is Grant.BUSY
    assert (await far.begin_fill(key, 23, LEASE_MS, b"")).grant is Grant.HIT
    assert (await far.commit_fill(key, 21, frame(key, payload=b"new"), LIFE)).outcome is CommitOutcome.STORED


async def test_a_lease_given_back_is_free_for_the_next(far: AsyncFarTier, name: MakeName) -> None:
    key = name()
    await far.begin_fill(key, 31, LEASE_MS, b"")
    assert not await far.abandon_fill(key, 99)
    await far.begin_fill(key, 32, LEASE_MS, b"")
    assert await far.abandon_fill(key, 31)
    assert (await far.begin_fill(key, 33, LEASE_MS, b"")).grant is Grant.GRANTED


async def test_an_invalidation_voids_the_lease_and_sets_the_floor(far: AsyncFarTier, name: MakeName) -> None:
    key = name()
    await far.begin_fill(key, 41, LEASE_MS, b"")
    await far.begin_fill(key, 42, LEASE_MS, b"")
    assert await far.invalidate_many([key], 8, TOMBSTONE_MS) == [True]
    assert (await far.commit_fill(key, 41, frame(key, 9), LIFE)).outcome is CommitOutcome.LEASE_LOST
    assert (await far.begin_fill(key, 43, LEASE_MS, b"")).grant is Grant.GRANTED
    assert (await far.commit_fill(key, 43, frame(key, 7), LIFE)).outcome is CommitOutcome.TOO_OLD
    await far.begin_fill(key, 44, LEASE_MS, b"")
    assert (await far.commit_fill(key, 44, frame(key, 8), LIFE)).outcome is CommitOutcome.STORED
    assert await far.invalidate_many([key, name()], 0, TOMBSTONE_MS) == [False, False]
    tombstone = await far.get(key)
    assert tombstone is not None
    assert (tombstone.state, tombstone.floor, tombstone.payload) == (State.TOMBSTONE, 8, b"")


async def test_an_older_row_never_replaces_a_newer_one(far: AsyncFarTier, name: MakeName) -> None:
    key = name()
    assert (await far.store(key, frame(key, 1 << 63), LIFE)).outcome is CommitOutcome.STORED
    assert (await far.store(key, frame(key, (1 << 63) - 1), LIFE)).outcome is CommitOutcome.TOO_OLD
    assert (await far.store(key, frame(key, 1 << 63, b"same"), LIFE)).outcome is CommitOutcome.STORED
    assert (await far.store(key, frame(key, 0, b"derived"), LIFE)).outcome is CommitOutcome.STORED
    found = await far.get(key)
    assert found is not None
    assert (found.payload, found.floor) == (b"derived", 1 << 63)


@pytest.mark.parametrize("fell", ["invalidate", "expire", "negative"])
async def test_a_write_leaves_to_a_load_what_an_unversioned_invalidation_left_open(
    far: AsyncFarTier, name: MakeName, fell: str
) -> None:
    key = name()
    if fell == "negative":
        await far.store(key, record.negative(hash64(key), ()), LIFE)
    else:
        await far.store(key, frame(key, 3), LIFE)
        await (far.invalidate_many if fell == "invalidate" else far.expire_many)([key], 0, TOMBSTONE_MS)
    await far.begin_fill(key, 51, LEASE_MS, fingerprint(await far.get(key)))
    assert (await far.store(key, frame(key, 5), LIFE)).outcome is CommitOutcome.UNSURE
    found = await far.get(key)
    assert found is not None
    assert found.state is (State.STALE if fell == "expire" else State.TOMBSTONE)
    assert (found.floor, found.lease_token) == (5, 0)
    assert (await far.begin_fill(key, 52, LEASE_MS, b"")).grant is Grant.GRANTED
    assert (await far.commit_fill(key, 52, frame(key, 5), LIFE)).outcome is CommitOutcome.STORED


async def test_a_write_whose_mark_is_gone_is_left_to_a_load(far: AsyncFarTier, name: MakeName) -> None:
    """The mark may be evicted, replaced by another's lease, or by a tombstone that was evicted in its turn."""
    kept, evicted, leased, had_body = (name() for _ in range(4))
    await far.store(had_body, frame(had_body, 1), LIFE)
    names = [kept, evicted, leased, had_body]
    marks = await far.begin_write_many(names, 77, TOMBSTONE_MS)
    assert marks == [77, 77, 77, 0]
    assert await far.begin_write_many([kept], 78, TOMBSTONE_MS) == [77]
    for gone in (evicted, leased, had_body):
        await forget(far, gone)
    await far.begin_fill(leased, 5, LEASE_MS, b"")
    await far.begin_fill(had_body, 5, LEASE_MS, b"")
    replies = await far.store_many([(each, frame(each, 3), LIFE) for each in names], marks, TOMBSTONE_MS)
    unsure = CommitOutcome.UNSURE
    assert [reply.outcome for reply in replies] == [CommitOutcome.STORED, unsure, unsure, unsure]
    for gone in (evicted, leased, had_body):
        left = await far.get(gone)
        assert left is not None
        assert (left.state, left.floor) == (State.TOMBSTONE, 3)


async def test_a_mark_keeps_no_reader_from_loading(far: AsyncFarTier, name: MakeName) -> None:
    entry = name()
    await far.begin_write_many([entry], 77, TOMBSTONE_MS)
    assert (await far.begin_fill(entry, 5, LEASE_MS, b"")).grant is Grant.GRANTED
    assert (await far.commit_fill(entry, 5, frame(entry, 2), LIFE)).outcome is CommitOutcome.STORED
    replies = await far.store_many([(entry, frame(entry, 1), LIFE)], [77], TOMBSTONE_MS)
    assert replies[0].outcome is CommitOutcome.TOO_OLD


@pytest.mark.parametrize("far_url", ["redis", "valkey", "cluster"], indirect=True)
async def test_a_server_that_is_full_loses_what_fell(far: AsyncFarTier, name: MakeName) -> None:
    assert isinstance(far, AsyncRedisTier)
    entry, tag = name(), name()
    token = (await far.tag_tokens({1: tag}, 60_000))[1]
    await far.store(entry, frame(entry, 1), LIFE)
    await far.link.each_primary(b"CONFIG", b"SET", b"maxmemory", b"1")
    try:
        with pytest.raises(ReplyError, match="OOM"):
            await far.invalidate_many([entry], 0, TOMBSTONE_MS)
        with pytest.raises(ReplyError, match="OOM"):
            await far.renew_tags({1: tag}, 60_000)
        assert await far.get(entry) is None
    finally:
        await far.link.each_primary(b"CONFIG", b"SET", b"maxmemory", b"0")
    assert (await far.tag_tokens({1: tag}, 60_000))[1] != token


async def forget(far: AsyncFarTier, name: bytes) -> None:
    """Let the far tier lose a record, as a full server does."""
    if isinstance(far, AsyncRedisTier):
        await far.link.execute(b"DEL", name)
    elif isinstance(far, AsyncMemoryTier):
        far.records.evict(name)


async def test_expire_keeps_the_body_as_stale(far: AsyncFarTier, name: MakeName) -> None:
    key, absent = name(), name()
    await far.store(key, frame(key, 3), LIFE)
    assert await far.expire_many([key, absent], 4, TOMBSTONE_MS) == [False, False]
    stale, tombstone = await far.get_many([key, absent])
    assert stale is not None
    assert tombstone is not None
    assert (stale.state, stale.payload, stale.floor) == (State.STALE, b"value", 4)
    assert stale.fresh_until_ms <= far.now_ms() + 5_000
    assert (tombstone.state, tombstone.floor) == (State.TOMBSTONE, 4)


async def test_touch_prolongs_what_is_live(far: AsyncFarTier, name: MakeName) -> None:
    key, gone = name(), name()
    await far.store(key, frame(key), LIFE)
    assert await far.touch(key, Windows(600_000))
    found = await far.get(key)
    assert found is not None
    assert found.fresh_until_ms - found.created_ms >= 600_000
    await far.invalidate_many([gone], 0, TOMBSTONE_MS)
    assert not await far.touch(gone, Windows(600_000))
    assert not await far.touch(name(), Windows(600_000))


async def test_many_names_at_once_are_each_on_their_own(far: AsyncFarTier, name: MakeName) -> None:
    keys = [name() for _ in range(20)]
    await far.store(keys[0], frame(keys[0]), LIFE)
    replies = await far.begin_fill_many(keys, 61, LEASE_MS)
    assert [reply.grant for reply in replies] == [Grant.HIT] + [Grant.GRANTED] * 19
    await far.invalidate_many(keys[1:2], 0, TOMBSTONE_MS)
    outcomes = await far.commit_fill_many(61, [(key, frame(key), LIFE) for key in keys[1:]])
    assert [reply.outcome for reply in outcomes] == [CommitOutcome.LEASE_LOST] + [CommitOutcome.STORED] * 18
    stored = await far.store_many([(key, frame(key, 2), LIFE) for key in keys[2:]])
    assert {reply.outcome for reply in stored} == {CommitOutcome.STORED}
    assert sum(found is not None and found.has_body for found in await far.get_many(keys)) == 19


async def test_tags_have_one_token_until_they_are_renewed(far: AsyncFarTier, name: MakeName) -> None:
    tags = {number: name() for number in range(5)}
    first = await far.tag_tokens(tags, 60_000)
    assert await far.tag_tokens(tags, 60_000) == first
    renewed = await far.renew_tags({0: tags[0]}, 60_000)
    assert renewed[0] != first[0]
    assert await far.tag_tokens(tags, 60_000) == first | renewed
    unknown = name()
    await far.renew_existing_tags({1: tags[1], 9: unknown}, 60_000)
    assert (await far.tag_tokens({1: tags[1]}, 60_000))[1] != first[1]


async def test_a_stream_keeps_its_messages_in_order(far: AsyncFarTier, name: MakeName) -> None:
    stream = name()
    assert (await far.stream_state(stream)).last_id == b"0-0"
    ids = [await far.publish(stream, b"%d" % number, 1000) for number in range(5)]
    state = await far.stream_state(stream)
    assert (state.first_id, state.last_id) == (ids[0], ids[4])
    heard = await far.listen(stream, ids[1], 0.05)
    assert [(entry.id, entry.body) for entry in heard] == [(ids[at], b"%d" % at) for at in (2, 3, 4)]
    assert await far.listen(stream, ids[4], 0.01) == []


async def test_a_scan_finds_every_name_once(far: AsyncFarTier, name: MakeName) -> None:
    prefix = name()
    keys = {prefix + b":%d" % number for number in range(50)}
    await far.store_many([(key, frame(key), LIFE) for key in keys])
    seen: list[bytes] = []
    async for page in far.scan(prefix + b":*", 10):
        seen += page
    assert sorted(seen) == sorted(keys)


async def test_a_ping_takes_some_time(far: AsyncFarTier) -> None:
    assert 0.0 <= await far.ping() < 10.0


async def test_of_two_changes_of_one_version_one_wins(far: AsyncFarTier, name: MakeName) -> None:
    key = name()
    assert await far.document(key) == (0, b"")
    assert await far.swap_document(key, 0, 1, b"first")
    assert not await far.swap_document(key, 0, 1, b"second")
    assert (await far.document(key), await far.document_version(key)) == ((1, b"first"), 1)
    assert await far.swap_document(key, 1, 2**40, b"")
    assert await far.document(key) == (2**40, b"")


async def test_notes_are_kept_by_field(far: AsyncFarTier, name: MakeName) -> None:
    key = name()
    assert await far.notes(key) == {}
    await far.set_note(key, b"a", b"1")
    await far.set_note(key, b"b", b"2")
    await far.set_note(key, b"a", b"3")
    assert await far.notes(key) == {b"a": b"3", b"b": b"2"}
    await far.drop_notes(key, [b"a", b"nobody"])
    await far.drop_notes(key, [])
    assert await far.notes(key) == {b"b": b"2"}
