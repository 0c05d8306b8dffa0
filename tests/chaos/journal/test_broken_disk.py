"""
The file journal on a disk that fails: no space, failing syncs, a damaged file, a second process.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from proofs import write_behind_power_loss
from tiercel._async.journals import AsyncFileJournal
from tiercel._async.journals.payload import encode_draft
from tiercel._core.clock import SystemClock
from tiercel._core.journal import Draft
from tiercel.errors import ConfigurationError, JournalBroken, JournalFull, StoreError, StoreTimeout

ROOT = Path(__file__).resolve().parents[3]


def draft(number: int, size_bytes: int = 100) -> Draft:
    return encode_draft("acme", f"key-{number}", "x" * size_bytes, 1, 0.0)


async def rows(path: Path) -> int:
    journal = AsyncFileJournal(path, 4, clock=SystemClock())
    await journal.open()
    size = await journal.size()
    await journal.aclose()
    return size.rows


async def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "full.journal"
    journal = AsyncFileJournal(path, 4, clock=SystemClock())
    await journal.open()
    await journal.append([draft(0)])
    database = journal._database
    database._writer.execute("PRAGMA max_page_count = 40")
    for number in range(1, 11):
        await journal.append([draft(number, 2000)])
    with pytest.raises(JournalFull, match="the disk is full; this write was not accepted"):
        await journal.append([draft(number, 2000) for number in range(100)])
    kept = 11
    assert (await journal.size()).rows == kept
    database._writer.execute("PRAGMA max_page_count = 1000000")
    await journal.append([draft(5000)])
    await journal.aclose()
    assert await rows(path) == kept + 1


FAILING = """
import asyncio, sys
from tests.chaos.journal.test_broken_disk import draft
from tiercel._async.journals import AsyncFileJournal
from tiercel._core.clock import SystemClock
from tiercel.errors import JournalBroken

async def main(path):
    journal = AsyncFileJournal(path, 4, durability="always", clock=SystemClock())
    await journal.open()
    kept = failed = 0
    for number in range(100):
        try:
            await journal.append([draft(number)])
            kept += 1
        except JournalBroken:
            failed += 1
    print(kept, failed)

asyncio.run(main(sys.argv[1]))
"""


async def test_after_a_failed_sync_the_journal_stops(tmp_path: Path) -> None:
    try:
        shim = write_behind_power_loss.build_shim(tmp_path)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    path = tmp_path / "sick.journal"
    environment = os.environ | {
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}",
        "LD_PRELOAD": str(shim),
        "POWER_LOSS_FOLDER": str(path),
        "POWER_LOSS_LOG": str(tmp_path / "log"),
        "POWER_LOSS_SYNCS": "20",
    }
    command = [sys.executable, "-c", FAILING, str(path)]
    output = await asyncio.to_thread(subprocess.check_output, command, env=environment, cwd=ROOT, text=True)
    kept, failed = map(int, output.split())
    assert kept > 0
    assert kept + failed == 100, "once a sync failed, every later append is refused"
    assert await rows(path) >= kept


async def test_a_damaged_file_stops_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "damaged.journal"
    path.write_bytes(b"this is no database" * 1000)
    with pytest.raises((JournalBroken, StoreError), match=r"damaged\.journal"):
        await AsyncFileJournal(path, 4, clock=SystemClock()).open()


async def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "newer.journal"
    journal = AsyncFileJournal(path, 4, clock=SystemClock())
    await journal.open()
    journal._database._writer.execute("PRAGMA user_version = 99")
    await journal.aclose()
    with pytest.raises(ConfigurationError, match="format 99 is not 1"):
        await AsyncFileJournal(path, 4, clock=SystemClock()).open()


async def test_a_durability_that_a_file_cannot_give_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="for 'replicated' use kind='redis'"):
        AsyncFileJournal(tmp_path / "a.journal", 4, durability="replicated", clock=SystemClock())


async def test_a_process_that_keeps_the_file_locked_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiercel._async.journals._filedb._BUSY_S", 0.05)
    path = tmp_path / "shared.journal"
    one = AsyncFileJournal(path, 4, clock=SystemClock())
    two = AsyncFileJournal(path, 4, clock=SystemClock())
    await one.open()
    await two.open()
    one._database._writer.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreTimeout, match="another process keeps it locked"):
        await two.append([draft(1)])
    one._database._writer.execute("ROLLBACK")
    await two.append([draft(1)])
    await one.append([draft(2)])
    assert (await one.size()).rows == 2
    await one.aclose()
    await two.aclose()
