"""
A writer that is cancelled while it appends for others takes nobody's write along.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tiercel._async.appender import AsyncAppender
from tiercel._async.journals import AsyncMemoryJournal
from tiercel._async.journals.payload import encode_draft
from tiercel._core.journal import Accepted, Draft
from tiercel.errors import StoreError
from tiercel.testing import ManualClock


class GatedJournal(AsyncMemoryJournal):
    """A journal that waits at a gate before it keeps anything, and may fail there."""

    def __init__(self) -> None:
        super().__init__(1, clock=ManualClock())
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()
        self.error: Exception | None = None

    async def append(self, drafts: Sequence[Draft]) -> Accepted:
        self.entered.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return await super().append(drafts)


def draft(key: str) -> Draft:
    return encode_draft("acme", key, 1, 1, 0.0)


async def settled_tasks(appender: AsyncAppender, *keys: str) -> list[asyncio.Task[Accepted]]:
    """Start one append for each key, and let each come to its wait."""
    tasks = []
    for key in keys:
        tasks.append(asyncio.create_task(appender.append([draft(key)])))
        await asyncio.sleep(0)
    return tasks


@pytest.mark.parametrize("cancelled", [0, 1, 2])
async def test_the_others_writes_are_kept_in_order(cancelled: int) -> None:
    journal = GatedJournal()
    appender = AsyncAppender(journal)
    tasks = await settled_tasks(appender, "a", "b", "c")
    await journal.entered.wait()
    tasks[cancelled].cancel()
    await asyncio.sleep(0)
    journal.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[cancelled], asyncio.CancelledError)
    lease = await journal.lease(0, "one", 60.0)
    assert lease is not None
    kept = [entry.change.key for entry in await journal.take(lease, 0, 10, 60.0)]
    assert kept == [key for at, key in enumerate("abc") if at != cancelled]


async def test_a_cancelled_write_is_not_kept_later() -> None:
    journal = GatedJournal()
    appender = AsyncAppender(journal)
    (task,) = await settled_tasks(appender, "a")
    await journal.entered.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    journal.gate.set()
    await appender.append([draft("b")])
    assert (await journal.size()).rows == 1
    assert await journal.newest("acme", ["a"]) == {}


async def test_everybody_of_a_failed_group_is_told() -> None:
    journal = GatedJournal()
    appender = AsyncAppender(journal)
    tasks = await settled_tasks(appender, "a", "b", "c")
    journal.error = StoreError("no space")
    journal.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(answer) for answer in answers] == ["no space"] * 3
    journal.error = None
    assert (await appender.append([draft("d")])).size.rows == 1


async def test_a_group_is_bounded_but_one_large_call_goes_through() -> None:
    journal = GatedJournal()
    journal.gate.set()
    appender = AsyncAppender(journal, max_group=2)
    accepted = await appender.append([draft(f"k{n}") for n in range(10)])
    assert accepted.size.rows == 10
    answers = await asyncio.gather(*[appender.append([draft(f"m{n}")]) for n in range(5)])
    assert len({version for answer in answers for version in answer.versions}) == 5
