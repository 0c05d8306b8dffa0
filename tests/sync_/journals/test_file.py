# Generated from tests/async_/journals/test_file.py by tools/unasync.py. Do not edit.
"""
What the file journal alone can meet: the machine's clock set back, files made by an earlier process.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tiercel._sync.journals import FileJournal
from tiercel._sync.journals.payload import encode_draft
from tiercel.errors import StoreError
from tiercel.testing import ManualClock

TTL_S = 60.0


def test_a_clock_that_was_set_back_does_not_prolong_a_lease(tmp_path: Path) -> None:
    clock = ManualClock()
    journal = FileJournal(tmp_path / "a.journal", 1, clock=clock)
    journal.open()
    assert journal.lease(0, "one", TTL_S) is not None
    assert journal.lease(0, "two", TTL_S) is None
    clock.jump_wall(-86_400.0)
    assert journal.lease(0, "two", TTL_S) is not None
    journal.close()


def test_everything_is_there_in_the_next_process(tmp_path: Path) -> None:
    clock = ManualClock()
    journal = FileJournal(tmp_path / "new" / "a.journal", 4, clock=clock)
    journal.open()
    journal.open()
    accepted = journal.append([encode_draft("acme", f"k{n}", n, 1, 100.0) for n in range(10)])
    journal.close()
    journal.close()

    journal = FileJournal(tmp_path / "new" / "a.journal", 4, clock=clock)
    journal.open()
    assert journal.size() == accepted.size
    later = journal.append([encode_draft("acme", f"k{n}", n, 1, 100.0) for n in range(10)])
    assert all(new > old for new, old in zip(later.versions, accepted.versions, strict=True))
    journal.close()


def test_a_connection_that_came_through_a_fork_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = FileJournal(tmp_path / "a.journal", 4, clock=ManualClock())
    journal.open()
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    with pytest.raises(StoreError, match="opened before a fork: open the cache in each process"):
        journal.append([encode_draft("acme", "a", 1, 1, 0.0)])
    with pytest.raises(StoreError, match="opened before a fork"):
        journal.size()
    monkeypatch.undo()
    journal.close()
