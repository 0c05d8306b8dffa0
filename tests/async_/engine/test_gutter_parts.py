"""
The gutter tier part by part: where one shard is away, the others' entries stay where they are.
"""

from __future__ import annotations

from tiercel._async.gutter import AsyncGutterTier
from tiercel._async.memory_tier import AsyncMemoryTier
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


class ShardedTier(AsyncMemoryTier):
    """A far tier of two parts, by the first letter of a name; one of them can be away."""

    is_away = False

    def _check(self, name: bytes) -> None:
        if self.is_away and name.startswith(b"b"):
            raise NodeRefused("breaker open")

    async def get(self, name: bytes) -> Frame | None:
        self._check(name)
        return await super().get(name)

    async def begin_fill(self, name: bytes, token: int, lease_ms: int, unusable: bytes) -> FillReply:
        self._check(name)
        return await super().begin_fill(name, token, lease_ms, unusable)


class Rig:
    """A gutter tier over two tiers in memory."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.main = ShardedTier(MemoryRecords(self.clock))
        self.gutter = AsyncMemoryTier(MemoryRecords(self.clock))
        self.recorder = Recorder(wall=self.clock.wall)
        self.changes = 0
        self.tier = AsyncGutterTier(
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

    async def filled(self, name: bytes) -> CommitOutcome:
        """Load *name* through the tier."""
        await self.tier.begin_fill(name, 7, LEASE_MS, b"")
        return (await self.tier.commit_fill(name, 7, entry(name), LIFE)).outcome


def entry(name: bytes) -> Frame:
    return Frame(State.LIVE, hash64(name), payload=b"value")


async def test_only_the_part_that_is_away_moves() -> None:
    rig = Rig()
    rig.main.is_away = True
    assert await rig.filled(SICK) is CommitOutcome.STORED
    assert await rig.filled(WELL) is CommitOutcome.STORED
    assert rig.tier.parts_away == 1
    assert isinstance(await rig.tier.get(SICK), GutterFrame)
    assert type(await rig.tier.get(WELL)) is Frame
    assert await rig.gutter.get(WELL) is None
    found = await rig.tier.get_many([SICK, WELL])
    assert [type(frame) for frame in found] == [GutterFrame, Frame]
    assert rig.changes == 1, "the memo of tokens is dropped once"


async def test_lives_are_capped_and_times_are_those_of_the_far_tier() -> None:
    rig = Rig()
    rig.main.is_away = True
    await rig.filled(SICK)
    frame = await rig.tier.get(SICK)
    assert frame is not None
    assert frame.kept_until_ms - frame.created_ms == 10_000


async def test_a_load_that_began_before_the_change_is_refused_after_it() -> None:
    rig = Rig()
    await rig.tier.begin_fill(SICK, 7, LEASE_MS, b"")
    rig.main.is_away = True
    await rig.tier.get(SICK)
    assert (await rig.tier.commit_fill(SICK, 7, entry(SICK), LIFE)).outcome is CommitOutcome.LEASE_LOST


async def test_the_part_is_taken_back_with_the_first_answer_and_nothing_of_the_gutter_counts() -> None:
    rig = Rig()
    rig.main.is_away = True
    await rig.filled(SICK)
    rig.main.is_away = False
    assert await rig.tier.get(SICK) is not None, "asked again in a moment, not at once"
    rig.clock.advance(PROBE_S)
    assert await rig.tier.get(SICK) is None
    assert (rig.tier.parts_away, rig.changes) == (0, 2)
    names = [event.name for event in rig.recorder.events()]
    assert names == ["gutter_left", "gutter_entered"]


async def test_what_an_earlier_stay_left_grants_a_lease_instead_of_a_hit() -> None:
    rig = Rig()
    rig.main.is_away = True
    await rig.filled(SICK)
    rig.main.is_away = False
    rig.clock.advance(PROBE_S)
    await rig.tier.get(SICK)
    rig.main.is_away = True
    rig.clock.advance(1.0)
    assert await rig.tier.get(SICK) is None
    assert (await rig.tier.begin_fill(SICK, 8, LEASE_MS, b"")).grant is Grant.GRANTED
