# Generated from tests/async_/tier/test_renewal.py by tools/unasync.py. Do not edit.
"""
Renewing a record whose source has not changed, on every far tier: new ends, the same body, and only under its lease.
"""

from __future__ import annotations

from tests.sync_.tier.test_contract import LEASE_MS, LIFE, TOMBSTONE_MS, MakeName, frame
from tiercel._sync.tier import FarTier
from tiercel._core.frame import State
from tiercel._core.record import CommitOutcome, Grant, Windows, fingerprint
from tiercel._paired import Poll


def test_a_renewal_moves_the_ends_and_not_the_body(far: FarTier, name: MakeName) -> None:
    key = name()
    far.store(key, frame(key, 7, tags=((1, 2),), load_cost_us=12), Windows(1, 0, 60_000))
    poll = Poll(5.0)
    while (before := far.get(key)) is None or before.fresh_until_ms >= far.now_ms():
        assert poll.again()
    known = fingerprint(before)
    granted = far.begin_fill(key, 11, LEASE_MS, b"")
    assert granted.grant is Grant.GRANTED
    assert (far.begin_fill(key, 12, LEASE_MS, b"")).grant is Grant.BUSY
    reply = far.renew_fill(key, 11, known, LIFE)
    assert (reply.outcome, reply.is_awaited) == (CommitOutcome.STORED, True)
    after = far.get(key)
    assert after is not None
    assert (after.payload, after.tags, after.version, after.load_cost_us) == (b"value", ((1, 2),), 7, 12)
    assert after.created_ms > before.created_ms, "who judged the old record unusable finds another one"
    ends = (after.fresh_until_ms, after.stale_until_ms, after.kept_until_ms)
    assert [end - after.created_ms for end in ends] == [60_000, 65_000, 75_000]
    assert (after.lease_token, after.is_awaited) == (0, False)
    assert (far.begin_fill(key, 13, LEASE_MS, known)).grant is Grant.HIT


def test_what_was_expired_by_hand_is_live_again(far: FarTier, name: MakeName) -> None:
    key = name()
    far.store(key, frame(key), LIFE)
    far.expire_many([key], 0, TOMBSTONE_MS)
    known = fingerprint(far.get(key))
    assert (far.begin_fill(key, 11, LEASE_MS, b"")).grant is Grant.GRANTED
    assert (far.renew_fill(key, 11, known, LIFE)).outcome is CommitOutcome.STORED
    found = far.get(key)
    assert found is not None
    assert found.state is State.LIVE


def test_a_renewal_that_an_invalidation_overtook_is_refused(far: FarTier, name: MakeName) -> None:
    # 1. loader asks its source: not modified   2. writer commits v2, invalidates   3. loader renews v1
    key = name()
    far.store(key, frame(key, 1), LIFE)
    known = fingerprint(far.get(key))
    far.begin_fill(key, 11, LEASE_MS, known)
    far.invalidate_many([key], 2, TOMBSTONE_MS)
    assert (far.renew_fill(key, 11, known, LIFE)).outcome is CommitOutcome.LEASE_LOST
    found = far.get(key)
    assert found is not None
    assert found.state is State.TOMBSTONE


def test_only_the_body_that_the_loader_knew_is_renewed(far: FarTier, name: MakeName) -> None:
    key = name()
    far.store(key, frame(key, payload=b"old"), LIFE)
    known = fingerprint(far.get(key))
    far.store(key, frame(key, payload=b"new"), LIFE)
    far.expire_many([key], 0, TOMBSTONE_MS)
    far.begin_fill(key, 11, LEASE_MS, b"")
    assert (far.renew_fill(key, 11, known, LIFE)).outcome is CommitOutcome.LEASE_LOST
    assert (far.renew_fill(key, 12, known, LIFE)).outcome is CommitOutcome.LEASE_LOST
    assert (far.renew_fill(key, 11, b"", LIFE)).outcome is CommitOutcome.LEASE_LOST


def test_a_record_below_its_floor_is_not_renewed(far: FarTier, name: MakeName) -> None:
    key = name()
    far.store(key, frame(key, 3), LIFE)
    far.expire_many([key], 5, TOMBSTONE_MS)
    known = fingerprint(far.get(key))
    far.begin_fill(key, 11, LEASE_MS, b"")
    assert (far.renew_fill(key, 11, known, LIFE)).outcome is CommitOutcome.TOO_OLD
    assert (far.begin_fill(key, 12, LEASE_MS, b"")).grant is Grant.GRANTED, "the lease is given back"
