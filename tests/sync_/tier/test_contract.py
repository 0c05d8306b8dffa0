# Generated from tests/async_/tier/test_contract.py by tools/unasync.py. Do not edit.
"""
What every far tier does: one suite for the one in this process, Redis, Valkey and a Redis Cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tiercel._sync.memory_tier import MemoryTier
from tiercel._sync.redis import RedisTier
from tiercel._sync.tier import FarTier
from tiercel._core import record
from tiercel._core.frame import Flag, Frame, State
from tiercel._core.keys import hash64
from tiercel._core.record import CommitOutcome, Grant, Windows, fingerprint
from tiercel._paired import Poll
from tiercel.errors import ReplyError

MakeName = Callable[[], bytes]
LIFE = Windows(60_000, 5_000, 10_000)
TOMBSTONE_MS = 60_000
LEASE_MS = 30_000


def frame(name: bytes, version: int = 0, payload: bytes = b"value", **fields: Any) -> Frame:
    return Frame(State.LIVE, hash64(name), version=version, payload=payload, **fields)


def test_a_record_comes_back_with_the_times_of_the_server(far: FarTier, name: MakeName) -> None:
    key = name()
    sent = frame(key, 7, tags=((1, 2), (3, 4)), codec=3, flags=Flag.COMPRESSED, load_cost_us=12)
    assert (far.store(key, sent, LIFE)).outcome is CommitOutcome.STORED
    found = far.get(key)
    assert found is not None
    assert (found.payload, found.tags, found.version, found.floor) == (b"value", ((1, 2), (3, 4)), 7, 7)
    assert (found.codec, found.flags, found.load_cost_us) == (3, Flag.COMPRESSED, 12)
    ends = (found.fresh_until_ms, found.stale_until_ms, found.kept_until_ms)
    assert [end - found.created_ms for end in ends] == [60_000, 65_000, 75_000]
    assert abs(found.created_ms - far.now_ms()) < 5_000
    assert far.get(name()) is None


def test_a_record_is_gone_when_its_windows_are_over(far: FarTier, name: MakeName) -> None:
    key = name()
    far.store(key, frame(key), Windows(20))
    poll = Poll(5.0)
    while far.get(key) is not None:
        assert poll.again()


@pytest.mark.parametrize("version", [0, 5])
def test_one_loader_has_the_lease_and_the_others_wait(far: FarTier, name: MakeName, version: int) -> None:
    key = name()
    assert (far.begin_fill(key, 11, LEASE_MS, b"")).grant is Grant.GRANTED
    busy = far.begin_fill(key, 12, LEASE_MS, b"")
    assert busy.grant is Grant.BUSY
    assert 0 < busy.retry_after_ms <= LEASE_MS
    assert far.get(key) is None or not (far.get(key)).has_body  # type: ignore[union-attr]
    assert (far.commit_fill(key, 12, frame(key), LIFE)).outcome is CommitOutcome.LEASE_LOST
    reply = far.commit_fill(key, 11, frame(key, version), LIFE)
    assert (reply.outcome, reply.is_awaited) == (CommitOutcome.STORED, True)
    hit = far.begin_fill(key, 13, LEASE_MS, b"")
    assert hit.grant is Grant.HIT
    assert hit.frame is not None
    assert hit.frame.payload == b"value"


def test_a_record_judged_unusable_is_loaded_anew_and_stays_until_then(far: FarTier, name: MakeName) -> None:
    key = name()
    far.store(key, frame(key), LIFE)
    unusable = fingerprint(far.get(key))
    granted = far.begin_fill(key, 21, LEASE_MS, unusable)
    assert granted.grant is Grant.GRANTED
    assert granted.frame is not None
    assert (far.begin_fill(key, 22, LEASE_MS, unusable)).grant is Grant.BUSY
    assert (far.begin_fill(key, 23, LEASE_MS, b"")).grant is Grant.HIT
    assert (far.commit_fill(key, 21, frame(key, payload=b"new"), LIFE)).outcome is CommitOutcome.STORED


def test_a_lease_given_back_is_free_for_the_next(far: FarTier, name: MakeName) -> None:
    key = name()
    far.begin_fill(key, 31, LEASE_MS, b"")
    assert not far.abandon_fill(key, 99)
    far.begin_fill(key, 32, LEASE_MS, b"")
    assert far.abandon_fill(key, 31)
    assert (far.begin_fill(key, 33, LEASE_MS, b"")).grant is Grant.GRANTED


def test_an_invalidation_voids_the_lease_and_sets_the_floor(far: FarTier, name: MakeName) -> None:
    key = name()
    far.begin_fill(key, 41, LEASE_MS, b"")
    far.begin_fill(key, 42, LEASE_MS, b"")
    assert far.invalidate_many([key], 8, TOMBSTONE_MS) == [True]
    assert (far.commit_fill(key, 41, frame(key, 9), LIFE)).outcome is CommitOutcome.LEASE_LOST
    assert (far.begin_fill(key, 43, LEASE_MS, b"")).grant is Grant.GRANTED
    assert (far.commit_fill(key, 43, frame(key, 7), LIFE)).outcome is CommitOutcome.TOO_OLD
    far.begin_fill(key, 44, LEASE_MS, b"")
    assert (far.commit_fill(key, 44, frame(key, 8), LIFE)).outcome is CommitOutcome.STORED
    assert far.invalidate_many([key, name()], 0, TOMBSTONE_MS) == [False, False]
    tombstone = far.get(key)
    assert tombstone is not None
    assert (tombstone.state, tombstone.floor, tombstone.payload) == (State.TOMBSTONE, 8, b"")


def test_an_older_row_never_replaces_a_newer_one(far: FarTier, name: MakeName) -> None:
    key = name()
    assert (far.store(key, frame(key, 1 << 63), LIFE)).outcome is CommitOutcome.STORED
    assert (far.store(key, frame(key, (1 << 63) - 1), LIFE)).outcome is CommitOutcome.TOO_OLD
    assert (far.store(key, frame(key, 1 << 63, b"same"), LIFE)).outcome is CommitOutcome.STORED
    assert (far.store(key, frame(key, 0, b"derived"), LIFE)).outcome is CommitOutcome.STORED
    found = far.get(key)
    assert found is not None
    assert (found.payload, found.floor) == (b"derived", 1 << 63)


@pytest.mark.parametrize("fell", ["invalidate", "expire", "negative"])
def test_a_write_leaves_to_a_load_what_an_unversioned_invalidation_left_open(
    far: FarTier, name: MakeName, fell: str
) -> None:
    key = name()
    if fell == "negative":
        far.store(key, record.negative(hash64(key), ()), LIFE)
    else:
        far.store(key, frame(key, 3), LIFE)
        (far.invalidate_many if fell == "invalidate" else far.expire_many)([key], 0, TOMBSTONE_MS)
    far.begin_fill(key, 51, LEASE_MS, fingerprint(far.get(key)))
    assert (far.store(key, frame(key, 5), LIFE)).outcome is CommitOutcome.UNSURE
    found = far.get(key)
    assert found is not None
    assert found.state is (State.STALE if fell == "expire" else State.TOMBSTONE)
    assert (found.floor, found.lease_token) == (5, 0)
    assert (far.begin_fill(key, 52, LEASE_MS, b"")).grant is Grant.GRANTED
    assert (far.commit_fill(key, 52, frame(key, 5), LIFE)).outcome is CommitOutcome.STORED


def test_a_write_whose_mark_is_gone_is_left_to_a_load(far: FarTier, name: MakeName) -> None:
    """The mark may be evicted, replaced by another's lease, or by a tombstone that was evicted in its turn."""
    kept, evicted, leased, had_body = (name() for _ in range(4))
    far.store(had_body, frame(had_body, 1), LIFE)
    names = [kept, evicted, leased, had_body]
    marks = far.begin_write_many(names, 77, TOMBSTONE_MS)
    assert marks == [77, 77, 77, 0]
    assert far.begin_write_many([kept], 78, TOMBSTONE_MS) == [77]
    for gone in (evicted, leased, had_body):
        forget(far, gone)
    far.begin_fill(leased, 5, LEASE_MS, b"")
    far.begin_fill(had_body, 5, LEASE_MS, b"")
    replies = far.store_many([(each, frame(each, 3), LIFE) for each in names], marks, TOMBSTONE_MS)
    unsure = CommitOutcome.UNSURE
    assert [reply.outcome for reply in replies] == [CommitOutcome.STORED, unsure, unsure, unsure]
    for gone in (evicted, leased, had_body):
        left = far.get(gone)
        assert left is not None
        assert (left.state, left.floor) == (State.TOMBSTONE, 3)


def test_a_mark_keeps_no_reader_from_loading(far: FarTier, name: MakeName) -> None:
    entry = name()
    far.begin_write_many([entry], 77, TOMBSTONE_MS)
    assert (far.begin_fill(entry, 5, LEASE_MS, b"")).grant is Grant.GRANTED
    assert (far.commit_fill(entry, 5, frame(entry, 2), LIFE)).outcome is CommitOutcome.STORED
    replies = far.store_many([(entry, frame(entry, 1), LIFE)], [77], TOMBSTONE_MS)
    assert replies[0].outcome is CommitOutcome.TOO_OLD


@pytest.mark.parametrize("far_url", ["redis", "valkey", "cluster"], indirect=True)
def test_a_server_that_is_full_loses_what_fell(far: FarTier, name: MakeName) -> None:
    assert isinstance(far, RedisTier)
    entry, tag = name(), name()
    token = (far.tag_tokens({1: tag}, 60_000))[1]
    far.store(entry, frame(entry, 1), LIFE)
    far.link.each_primary(b"CONFIG", b"SET", b"maxmemory", b"1")
    try:
        with pytest.raises(ReplyError, match="OOM"):
            far.invalidate_many([entry], 0, TOMBSTONE_MS)
        with pytest.raises(ReplyError, match="OOM"):
            far.renew_tags({1: tag}, 60_000)
        assert far.get(entry) is None
    finally:
        far.link.each_primary(b"CONFIG", b"SET", b"maxmemory", b"0")
    assert (far.tag_tokens({1: tag}, 60_000))[1] != token


def forget(far: FarTier, name: bytes) -> None:
    """Let the far tier lose a record, as a full server does."""
    if isinstance(far, RedisTier):
        far.link.execute(b"DEL", name)
    elif isinstance(far, MemoryTier):
        far.records.evict(name)


def test_expire_keeps_the_body_as_stale(far: FarTier, name: MakeName) -> None:
    key, absent = name(), name()
    far.store(key, frame(key, 3), LIFE)
    assert far.expire_many([key, absent], 4, TOMBSTONE_MS) == [False, False]
    stale, tombstone = far.get_many([key, absent])
    assert stale is not None
    assert tombstone is not None
    assert (stale.state, stale.payload, stale.floor) == (State.STALE, b"value", 4)
    assert stale.fresh_until_ms <= far.now_ms() + 5_000
    assert (tombstone.state, tombstone.floor) == (State.TOMBSTONE, 4)


def test_touch_prolongs_what_is_live(far: FarTier, name: MakeName) -> None:
    key, gone = name(), name()
    far.store(key, frame(key), LIFE)
    assert far.touch(key, Windows(600_000))
    found = far.get(key)
    assert found is not None
    assert found.fresh_until_ms - found.created_ms >= 600_000
    far.invalidate_many([gone], 0, TOMBSTONE_MS)
    assert not far.touch(gone, Windows(600_000))
    assert not far.touch(name(), Windows(600_000))


def test_many_names_at_once_are_each_on_their_own(far: FarTier, name: MakeName) -> None:
    keys = [name() for _ in range(20)]
    far.store(keys[0], frame(keys[0]), LIFE)
    replies = far.begin_fill_many(keys, 61, LEASE_MS)
    assert [reply.grant for reply in replies] == [Grant.HIT] + [Grant.GRANTED] * 19
    far.invalidate_many(keys[1:2], 0, TOMBSTONE_MS)
    outcomes = far.commit_fill_many(61, [(key, frame(key), LIFE) for key in keys[1:]])
    assert [reply.outcome for reply in outcomes] == [CommitOutcome.LEASE_LOST] + [CommitOutcome.STORED] * 18
    stored = far.store_many([(key, frame(key, 2), LIFE) for key in keys[2:]])
    assert {reply.outcome for reply in stored} == {CommitOutcome.STORED}
    assert sum(found is not None and found.has_body for found in far.get_many(keys)) == 19


def test_tags_have_one_token_until_they_are_renewed(far: FarTier, name: MakeName) -> None:
    tags = {number: name() for number in range(5)}
    first = far.tag_tokens(tags, 60_000)
    assert far.tag_tokens(tags, 60_000) == first
    renewed = far.renew_tags({0: tags[0]}, 60_000)
    assert renewed[0] != first[0]
    assert far.tag_tokens(tags, 60_000) == first | renewed
    unknown = name()
    far.renew_existing_tags({1: tags[1], 9: unknown}, 60_000)
    assert (far.tag_tokens({1: tags[1]}, 60_000))[1] != first[1]


def test_a_stream_keeps_its_messages_in_order(far: FarTier, name: MakeName) -> None:
    stream = name()
    assert (far.stream_state(stream)).last_id == b"0-0"
    ids = [far.publish(stream, b"%d" % number, 1000) for number in range(5)]
    state = far.stream_state(stream)
    assert (state.first_id, state.last_id) == (ids[0], ids[4])
    heard = far.listen(stream, ids[1], 0.05)
    assert [(entry.id, entry.body) for entry in heard] == [(ids[at], b"%d" % at) for at in (2, 3, 4)]
    assert far.listen(stream, ids[4], 0.01) == []


def test_a_scan_finds_every_name_once(far: FarTier, name: MakeName) -> None:
    prefix = name()
    keys = {prefix + b":%d" % number for number in range(50)}
    far.store_many([(key, frame(key), LIFE) for key in keys])
    seen: list[bytes] = []
    for page in far.scan(prefix + b":*", 10):
        seen += page
    assert sorted(seen) == sorted(keys)


def test_a_ping_takes_some_time(far: FarTier) -> None:
    assert 0.0 <= far.ping() < 10.0


def test_of_two_changes_of_one_version_one_wins(far: FarTier, name: MakeName) -> None:
    key = name()
    assert far.document(key) == (0, b"")
    assert far.swap_document(key, 0, 1, b"first")
    assert not far.swap_document(key, 0, 1, b"second")
    assert (far.document(key), far.document_version(key)) == ((1, b"first"), 1)
    assert far.swap_document(key, 1, 2**40, b"")
    assert far.document(key) == (2**40, b"")


def test_notes_are_kept_by_field(far: FarTier, name: MakeName) -> None:
    key = name()
    assert far.notes(key) == {}
    far.set_note(key, b"a", b"1")
    far.set_note(key, b"b", b"2")
    far.set_note(key, b"a", b"3")
    assert far.notes(key) == {b"a": b"3", b"b": b"2"}
    far.drop_notes(key, [b"a", b"nobody"])
    far.drop_notes(key, [])
    assert far.notes(key) == {b"b": b"2"}
