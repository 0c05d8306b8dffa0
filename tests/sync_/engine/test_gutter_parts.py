# Generated from tests/async_/engine/test_gutter_parts.py by tools/unasync.py. Do not edit.
"""
The gutter tier part by part: where one shard is away, the others' entries stay where they are.
"""

from __future__ import annotations

from tiercel._sync.gutter import GutterTier
from tiercel._sync.memory_tier import MemoryTier
from tiercel._core.clock import ManualClock
from tiercel._core.frame import Frame, State
from tiercel._core.gutter import PROBE_S, GutterFrame
from tiercel._core.keys import KeySpace, hash64
from tiercel._core.record import CommitOutcome, FillReply, Grant, Windows
from tiercel._core.resp import NodeRefused
from tiercel._memory_records import MemoryRecords
from tiercel.observe.recorder import Recorder

LIFE = Windows(60_000, 5_000, 60_000)
LEASE_MS = 30_000
SICK, WELL = b"b:k", b"a:k"


class ShardedTier(MemoryTier):
    """A far tier of two parts, by the first letter of a name; one of them can be away."""

    is_away = False

    def _check(self, name: bytes) -> None:
        if self.is_away and name.startswith(b"b"):
            raise NodeRefused("breaker open")

    def get(self, name: bytes) -> Frame | None:
        self._check(name)
        return super().get(name)

    def begin_fill(self, name: bytes, token: int, lease_ms: int, unusable: bytes) -> FillReply:
        self._check(name)
        return super().begin_fill(name, token, lease_ms, unusable)


class Rig:
    """A gutter tier over two tiers in memory."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.main = ShardedTier(MemoryRecords(self.clock))
        self.gutter = MemoryTier(MemoryRecords(self.clock))
        self.recorder = Recorder(wall=self.clock.wall)
        self.changes = 0
        self.tier = GutterTier(
            self.main,
            self.gutter,
            longest_s=10.0,
            part_of=lambda name: name[0],
            space=KeySpace("t"),
            clock=self.clock,
            recorder=self.recorder,
        )
        self.tier.on_change = self._changed

    def _changed(self) -> None:
        self.changes += 1

    def filled(self, name: bytes) -> CommitOutcome:
        """Load *name* through the tier."""
        self.tier.begin_fill(name, 7, LEASE_MS, b"")
        return (self.tier.commit_fill(name, 7, entry(name), LIFE)).outcome


def entry(name: bytes) -> Frame:
    return Frame(State.LIVE, hash64(name), payload=b"value")


def test_only_the_part_that_is_away_moves() -> None:
    rig = Rig()
    rig.main.is_away = True
    assert rig.filled(SICK) is CommitOutcome.STORED
    assert rig.filled(WELL) is CommitOutcome.STORED
    assert rig.tier.parts_away == 1
    assert isinstance(rig.tier.get(SICK), GutterFrame)
    assert type(rig.tier.get(WELL)) is Frame
    assert rig.gutter.get(WELL) is None
    found = rig.tier.get_many([SICK, WELL])
    assert [type(frame) for frame in found] == [GutterFrame, Frame]
    assert rig.changes == 1, "the memo of tokens is dropped once"


def test_lives_are_capped_and_times_are_those_of_the_far_tier() -> None:
    rig = Rig()
    rig.main.is_away = True
    rig.filled(SICK)
    frame = rig.tier.get(SICK)
    assert frame is not None
    assert frame.kept_until_ms - frame.created_ms == 10_000


def test_a_load_that_began_before_the_change_is_refused_after_it() -> None:
    rig = Rig()
    rig.tier.begin_fill(SICK, 7, LEASE_MS, b"")
    rig.main.is_away = True
    rig.tier.get(SICK)
    assert (rig.tier.commit_fill(SICK, 7, entry(SICK), LIFE)).outcome is CommitOutcome.LEASE_LOST


def test_the_part_is_taken_back_with_the_first_answer_and_nothing_of_the_gutter_counts() -> None:
    rig = Rig()
    rig.main.is_away = True
    rig.filled(SICK)
    rig.main.is_away = False
    assert rig.tier.get(SICK) is not None, "asked again in a moment, not at once"
    rig.clock.advance(PROBE_S)
    assert rig.tier.get(SICK) is None
    assert (rig.tier.parts_away, rig.changes) == (0, 2)
    names = [event.name for event in rig.recorder.events()]
    assert names == ["gutter_left", "gutter_entered"]


def test_what_an_earlier_stay_left_grants_a_lease_instead_of_a_hit() -> None:
    rig = Rig()
    rig.main.is_away = True
    rig.filled(SICK)
    rig.main.is_away = False
    rig.clock.advance(PROBE_S)
    rig.tier.get(SICK)
    rig.main.is_away = True
    rig.clock.advance(1.0)
    assert rig.tier.get(SICK) is None
    assert (rig.tier.begin_fill(SICK, 8, LEASE_MS, b"")).grant is Grant.GRANTED
