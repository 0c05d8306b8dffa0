"""
A batch that is flushed again has no second effect, and what was acknowledged has its first.

A process dies between the store's commit and the advance of its journal, a hundred times; each successor finds the
batch still journaled and writes it again. Every write carries an id of its own that grows; a trigger in the store
audits every change of a row: none may bring an id again, or an older one. At the end every acknowledged write must be
stored. Beside it the same without a version guard, which must show repeated effects, and with the journal advanced
first, which must lose.

Run: ``python -m proofs.write_behind_exactly_once [--json] [--short]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from proofs.write_behind_harness import Ledger, Scratch, Work, start_child, stored_numbers

LONGEST_CHILD_S = 60.0
AUDIT = """
CREATE TABLE audit_repeats (key TEXT, id INTEGER);
CREATE TRIGGER audit AFTER UPDATE ON proof
WHEN json_extract(NEW.value, '$.id') <= json_extract(OLD.value, '$.id')
BEGIN
    INSERT INTO audit_repeats VALUES (NEW.key, json_extract(NEW.value, '$.id'));
END;
"""


@dataclass(frozen=True)
class Figures:
    """What one way did."""

    crashes: int
    acknowledged: int
    lost: int
    repeated: int


def run(way: str, crashes: int) -> Figures:
    """Crash *crashes* times between commit and advance, recover, and compare."""
    with Scratch() as home:
        database = home / "store.db"
        work = Work(home=str(home), store=f"sqlite:///{database}#proof", way=way, crash="after-store", producers=4)
        ledger = Ledger(work.ledger, work.producers)
        calm = replace(work, crash="")
        asyncio.run(stored_numbers(calm))  # makes the table
        with closing(sqlite3.connect(database)) as connection:
            connection.executescript(AUDIT)
        for _ in range(crashes):
            code = start_child(work).wait(timeout=LONGEST_CHILD_S)
            if code != -9:
                raise RuntimeError(f"the child ended with {code}, not by its own SIGKILL")
        numbers, _ = asyncio.run(stored_numbers(calm))
        return Figures(crashes, ledger.acknowledged, ledger.lost(numbers, work.keys), repeats(database))


def repeats(database: Path) -> int:
    """Return how many changes of a row did not raise its id."""
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute("SELECT count(*) FROM audit_repeats").fetchone()[0])


def main() -> int:
    """Run the command line; exit status 1 where an effect was lost or repeated, or a naive way showed neither."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--short", action="store_true", help="4 crashes in place of 100")
    arguments = parser.parse_args()
    crashes = 4 if arguments.short else 100
    figures = {
        "tiercel": run("tiercel", crashes),
        "unguarded": run("unguarded", min(crashes, 4)),
        "delete-first": run("delete-first", min(crashes, 4)),
    }
    if arguments.json:
        print(json.dumps({way: vars(each) for way, each in figures.items()}))
    else:
        for way, each in figures.items():
            print(f"{way}: {each}")
    ours, unguarded, delete_first = figures.values()
    return 0 if ours.lost == ours.repeated == 0 and unguarded.repeated > 0 and delete_first.lost > 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
