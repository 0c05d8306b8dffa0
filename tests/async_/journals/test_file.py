"""
What the file journal alone can meet: the machine's clock set back, files made by an earlier process.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tiercel._async.journals import AsyncFileJournal
from tiercel._async.journals.payload import encode_draft
from tiercel.errors import StoreError
from tiercel.testing import ManualClock

TTL_S = 60.0


async def test_a_clock_that_was_set_back_does_not_prolong_a_lease(tmp_path: Path) -> None:
    clock = ManualClock()
    journal = AsyncFileJournal(tmp_path / "a.journal", 1, clock=clock)
    await journal.open()
    assert await journal.lease(0, "one", TTL_S) is not None
    assert await journal.lease(0, "two", TTL_S) is None
    clock.jump_wall(-86_400.0)
    assert await journal.lease(0, "two", TTL_S) is not None
    await journal.aclose()


async def test_everything_is_there_in_the_next_process(tmp_path: Path) -> None:
    clock = ManualClock()
    journal = AsyncFileJournal(tmp_path / "new" / "a.journal", 4, clock=clock)
    await journal.open()
    await journal.open()
    accepted = await journal.append([encode_draft("acme", f"k{n}", n, 1, 100.0) for n in range(10)])
    await journal.aclose()
    await journal.aclose()

    journal = AsyncFileJournal(tmp_path / "new" / "a.journal", 4, clock=clock)
    await journal.open()
    assert await journal.size() == accepted.size
    later = await journal.append([encode_draft("acme", f"k{n}", n, 1, 100.0) for n in range(10)])
    assert all(new > old for new, old in zip(later.versions, accepted.versions, strict=True))
    await journal.aclose()


async def test_a_connection_that_came_through_a_fork_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = AsyncFileJournal(tmp_path / "a.journal", 4, clock=ManualClock())
    await journal.open()
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    with pytest.raises(StoreError, match="opened before a fork: open the cache in each process"):
        await journal.append([encode_draft("acme", "a", 1, 1, 0.0)])
    with pytest.raises(StoreError, match="opened before a fork"):
        await journal.size()
    monkeypatch.undo()
    await journal.aclose()
