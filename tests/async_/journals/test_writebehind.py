"""
Write-behind of a region: acknowledgement, overlay, versions, bounds, waiting for the store, draining, recovery.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.async_.journals.doubles import AsyncFaultyStore
from tiercel._async.journals import AsyncJournal, open_journal
from tiercel._async.writebehind import AsyncWriteBehind
from tiercel._core.clock import SystemClock
from tiercel._core.journal import Accepted, Draft
from tiercel._paired import AsyncEvent, AsyncFunction, async_gather, async_spawn
from tiercel.errors import ClosedError, EncodeError, JournalFull, StoreError, StoreTimeout
from tiercel.options import JournalOptions
from tiercel.testing import ManualClock
from tiercel.typing import DELETED, Change, Clock, Record

LONG_S = 30.0


class Region:
    """One region's write-behind over a faulty store."""

    def __init__(
        self,
        directory: Path,
        *,
        clock: Clock | None = None,
        on_persisted: AsyncFunction[[Sequence[Change]], None] | None = None,
        **options: Any,
    ) -> None:
        settings: dict[str, Any] = {"kind": "file", "durability": "process", "interval_s": 0.02, "retry_s": 0.01}
        self.options = JournalOptions(**(settings | options))
        self.clock = clock or SystemClock()
        self.store = AsyncFaultyStore()
        self.journal = open_journal("profile", self.options, clock=self.clock, directory=directory)
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self.behind = AsyncWriteBehind(
            "profile",
            self.options,
            self.store,
            self.journal,
            clock=self.clock,
            events=lambda name, fields: self.events.append((name, fields)),
            on_persisted=on_persisted,
        )

    def told(self, name: str) -> int:
        """How often an event was told."""
        return sum(event == name for event, _ in self.events)


@pytest.fixture
async def make_region(tmp_path: Path) -> AsyncIterator[AsyncFunction[..., Region]]:
    """Start regions on one journal file; all are closed at the end."""
    made: list[Region] = []

    async def make(**options: Any) -> Region:
        region = Region(tmp_path, **options)
        made.append(region)
        await region.behind.start()
        return region

    yield make
    for region in made:
        region.store.is_down = False
        if region.store.gate is not None:
            region.store.gate.set()
        await region.behind.aclose(deadline_s=5.0)


async def test_a_write_is_seen_at_once_and_stored_soon(make_region: AsyncFunction[..., Region]) -> None:
    region = await make_region(flush=False)
    handle = await region.behind.write("acme", "a", {"n": 1})
    assert await region.behind.pending("acme", "a") == Record({"n": 1}, handle.version)
    await region.behind.delete("acme", "a")
    overlay = await region.behind.pending_many("acme", ["a", "b"])
    assert [(key, record.value) for key, record in overlay.items()] == [("a", DELETED)]

    successor = await make_region()
    later = await successor.behind.write("acme", "a", {"n": 2})
    await later.persisted(LONG_S)
    await handle.persisted(LONG_S)
    assert successor.store.value("a") == {"n": 2}
    assert await successor.behind.pending("acme", "a") is None


async def test_write_many_is_one_append(make_region: AsyncFunction[..., Region]) -> None:
    region = await make_region()
    handles = await region.behind.write_many("acme", {f"k{n}": n for n in range(1000)}, floors={"k3": 1 << 61})
    assert handles[3].version > 1 << 61
    for handle in handles:
        await handle.persisted(LONG_S)
    assert len(region.store.rows) == 1000
    assert await region.behind.write_many("acme", {}) == []


async def test_versions_grow_above_the_floor_whatever_the_clock_does(tmp_path: Path) -> None:
    clock = ManualClock()
    region = Region(tmp_path, clock=clock, flush=False)
    await region.behind.start()
    versions = []
    for jump_s, floor in ((0, 0), (-3600, 0), (0, 1 << 60), (+7200, 0), (-86400, 0)):
        clock.jump_wall(jump_s)
        versions.append((await region.behind.write("acme", "a", jump_s, floor=floor)).version)
    assert versions == sorted(set(versions))
    assert versions[2] > 1 << 60
    await region.behind.aclose()


async def test_what_was_acknowledged_is_flushed_by_the_next_process(make_region: AsyncFunction[..., Region]) -> None:
    first = await make_region(flush=False)
    await first.behind.write_many("acme", {f"k{n}": n for n in range(50)})
    await first.behind.aclose()
    second = await make_region()
    assert await second.behind.drain(LONG_S) == 0
    assert len(second.store.rows) == 50


async def test_persisted_waits_and_gives_up_in_time(make_region: AsyncFunction[..., Region]) -> None:
    region = await make_region()
    region.store.is_down = True
    handle = await region.behind.write("acme", "a", 1)
    with pytest.raises(StoreTimeout, match=r"not persisted within 0\.05 s"):
        await handle.persisted(0.05)
    region.store.is_down = False
    await handle.persisted(LONG_S)
    assert region.store.value("a") == 1


async def test_persisted_says_that_a_write_was_parked(make_region: AsyncFunction[..., Region]) -> None:
    region = await make_region(poison_after=2)
    region.store.refuses = lambda change: change.key == "bad"
    bad = await region.behind.write("acme", "bad", 1)
    good = await region.behind.write("acme", "good", 1)
    await good.persisted(LONG_S)
    with pytest.raises(StoreError, match="parked as a dead letter: StoreError: refused by a constraint"):
        await bad.persisted(LONG_S)
    await region.behind.aclose()
    assert (region.behind.stats().dead, region.told("row_parked")) == (1, 1)


async def test_what_cannot_be_encoded_is_refused_before_it_is_acknowledged(
    make_region: AsyncFunction[..., Region],
) -> None:
    region = await make_region(flush=False)
    with pytest.raises(EncodeError):
        await region.behind.write_many("acme", {"a": 1, "b": object()})
    assert await region.behind.drain(0.0) == 0


async def test_a_full_journal_rejects(make_region: AsyncFunction[..., Region]) -> None:
    region = await make_region(flush=False, overflow="reject", max_pending=10)
    await region.behind.write_many("acme", {f"k{n}": n for n in range(10)})
    with pytest.raises(JournalFull, match="max_pending=10"):
        await region.behind.write("acme", "one more", 1)
    assert region.told("overflow") == 1
    assert region.behind.stats().depth == 10


async def test_a_full_journal_blocks_until_there_is_room(make_region: AsyncFunction[..., Region]) -> None:
    region = await make_region(max_pending=10)
    region.store.is_down = True
    await region.behind.write_many("acme", {f"k{n}": n for n in range(10)})
    ended = AsyncEvent()

    async def write_more() -> None:
        await region.behind.write("acme", "one more", 1)
        ended.set()

    job = async_spawn("blocked", write_more)
    assert not await ended.wait_for(0.1)
    region.store.is_down = False
    assert await ended.wait_for(LONG_S)
    assert await job.join(LONG_S)
    assert await region.behind.drain(LONG_S) == 0
    assert region.store.value("one more") == 1


async def test_a_full_journal_degrades_to_write_through(make_region: AsyncFunction[..., Region]) -> None:
    region = await make_region(flush=False, overflow="write-through", max_pending=1)
    waiting = await region.behind.write("acme", "a", "waits")
    direct = await region.behind.write("acme", "a", "direct")
    assert direct.version > waiting.version
    assert region.store.value("a") == "direct"
    assert await region.behind.pending("acme", "a") is None, "the older write must not hide the newer row"
    await direct.persisted(LONG_S)


async def test_write_through_overtakes_a_newer_row(make_region: AsyncFunction[..., Region]) -> None:
    region = await make_region(flush=False, overflow="write-through", max_pending=1)
    await region.behind.write("acme", "other", 1)
    region.store.rows["acme", "a"] = Record("ahead", 1 << 60)
    handle = await region.behind.write("acme", "a", "direct")
    assert handle.version > 1 << 60
    assert region.store.value("a") == "direct"


async def test_bytes_bound_what_waits(make_region: AsyncFunction[..., Region]) -> None:
    region = await make_region(flush=False, overflow="reject", max_pending_bytes=10_000)
    for n in range(9):
        await region.behind.write("acme", f"k{n}", "x" * 1000)
    with pytest.raises(JournalFull, match="max_pending_bytes=10000"):
        await region.behind.write("acme", "k9", "x" * 1000)
    assert region.behind.stats().size_bytes <= 10_000


async def test_drain_says_what_is_left(make_region: AsyncFunction[..., Region]) -> None:
    region = await make_region()
    region.store.is_down = True
    await region.behind.write_many("acme", {"a": 1, "b": 2})
    assert await region.behind.drain(0.1) == 2
    stats = region.behind.stats()
    assert (stats.depth, stats.dead, stats.last_error) == (2, 0, "StoreError: down")
    region.store.is_down = False
    assert await region.behind.drain(LONG_S) == 0
    await region.behind.aclose()
    assert region.behind.stats().last_error is None


async def test_a_closed_region_refuses_writes(make_region: AsyncFunction[..., Region]) -> None:
    region = await make_region()
    await region.behind.write("acme", "a", 1)
    await region.behind.aclose()
    await region.behind.aclose()
    assert region.store.value("a") == 1
    with pytest.raises(ClosedError, match="profile"):
        await region.behind.write("acme", "a", 2)


async def test_the_engine_is_told_once_the_journal_moved(make_region: AsyncFunction[..., Region]) -> None:
    told: list[Change] = []

    async def remember(changes: Sequence[Change]) -> None:
        told.extend(changes)
        raise RuntimeError("the engine's own trouble")

    region = await make_region(on_persisted=remember)
    handle = await region.behind.write("acme", "a", 1)
    await handle.persisted(LONG_S)
    await region.behind.aclose()
    assert [(change.key, change.version) for change in told] == [("a", handle.version)]
    assert region.told("persisted_failed") == 1


async def test_forget_leaves_no_trace_of_what_waits_or_waited(
    make_region: AsyncFunction[..., Region], tmp_path: Path
) -> None:
    region = await make_region()
    for n in range(20):
        await region.behind.write("acme", "a", {"n": n, "text": "personal" * 1000})
    assert await region.behind.drain(LONG_S) == 0
    region.store.is_down = True
    await region.behind.write("acme", "a", "personal")
    await region.behind.write("acme", "b", "another's")
    assert await region.behind.forget("acme", "a") == 1
    assert await region.behind.pending("acme", "a") is None
    content = b"".join(path.read_bytes() for path in tmp_path.glob("*.journal*"))
    assert b"personal" not in content
    assert b"another's" in content


class SlowJournal:
    """A journal whose appends wait for a gate; counts them."""

    def __init__(self, inner: AsyncJournal) -> None:
        self._inner = inner
        self.gate = AsyncEvent()
        self.entered = AsyncEvent()
        self.groups: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def append(self, drafts: Sequence[Draft]) -> Accepted:
        self.groups.append(len(drafts))
        self.entered.set()
        await self.gate.wait()
        return await self._inner.append(drafts)


async def test_writers_that_arrive_together_share_an_append(tmp_path: Path) -> None:
    region = Region(tmp_path, flush=False)
    slow: Any = SlowJournal(region.journal)
    behind = AsyncWriteBehind("profile", region.options, region.store, slow, clock=region.clock)
    await behind.start()
    jobs = [async_spawn("writer", behind.write, "acme", "first", 0)]
    assert await slow.entered.wait_for(LONG_S)
    jobs += [async_spawn("writer", behind.write, "acme", f"k{n}", n) for n in range(20)]
    staged = behind._appender._staged
    while len(staged) < 20:
        await AsyncEvent().wait_for(0.001)
        staged = behind._appender._staged
    slow.gate.set()
    for job in jobs:
        assert await job.join(LONG_S)
    assert slow.groups == [1, 20]
    assert behind.stats().depth == 21
    await behind.aclose()


async def test_many_writers_keep_every_row(make_region: AsyncFunction[..., Region]) -> None:
    region = await make_region(batch_size=50)

    async def produce(writer: int) -> None:
        for n in range(50):
            await region.behind.write("acme", f"w{writer}-{n % 10}", n)

    jobs = [async_spawn("writer", produce, writer) for writer in range(8)]
    await async_gather(*[job.join(LONG_S) for job in jobs])
    assert await region.behind.drain(LONG_S) == 0
    assert {region.store.value(f"w{writer}-{n}") for writer in range(8) for n in range(10)} == set(range(40, 50))
    await region.behind.aclose()
    stats = region.behind.stats()
    assert (stats.flushed + stats.coalesced, stats.depth) == (400, 0)
