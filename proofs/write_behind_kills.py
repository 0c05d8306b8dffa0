"""
An acknowledged write survives the death of the process, and no row goes back to an older version.

A process with 16 producers journals to a local file and flushes to PostgreSQL; it is killed (SIGKILL) at random
points, again and again, and each successor goes on where the journal left off. At the end every acknowledged write
must be in the store, and a trigger that audits every update must have seen none that lowers a version. Beside it the
same with a queue in memory, and with a journal that an entry leaves before the store has it: both must lose.

Run: ``python -m proofs.write_behind_kills [--json] [--short]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from dataclasses import dataclass, replace

import psycopg

from proofs.write_behind_harness import Ledger, Scratch, Work, start_child, stored_numbers
from tests.rig import PostgresServer

AUDIT = """
CREATE SEQUENCE audit_updates;
CREATE TABLE audit_regressions (key text, before bigint, after bigint);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval('audit_updates');
    IF NEW.version <= OLD.version THEN
        INSERT INTO audit_regressions VALUES (NEW.key::text, OLD.version, NEW.version);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER audit BEFORE UPDATE ON proof FOR EACH ROW EXECUTE FUNCTION audit();
"""


@dataclass(frozen=True)
class Figures:
    """What one way did."""

    kills: int
    acknowledged: int
    lost: int
    left: int
    updates: int
    regressions: int
    seconds: float


def run(url: str, way: str, kills: int, acknowledged: int) -> Figures:
    """Kill until there were *kills* and *acknowledged* writes, then recover and compare."""
    began = time.monotonic()
    with Scratch() as home:
        work = Work(home=str(home), store=f"{url}#proof", way=way, rows=50)
        ledger = Ledger(work.ledger, work.producers)
        asyncio.run(stored_numbers(work))  # makes the table
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(AUDIT)
        done = 0
        while done < kills or ledger.acknowledged < acknowledged:
            kill_once(work, ledger)
            done += 1
        numbers, left = asyncio.run(stored_numbers(replace(work, way="tiercel") if way == "memory-queue" else work))
        with psycopg.connect(url) as connection:
            updates = _scalar(connection, "SELECT last_value FROM audit_updates")
            regressions = _scalar(connection, "SELECT count(*) FROM audit_regressions")
        lost = ledger.lost(numbers, work.keys)
        return Figures(done, ledger.acknowledged, lost, left, updates, regressions, time.monotonic() - began)


def kill_once(work: Work, ledger: Ledger) -> None:
    """Start a child, wait for its first acknowledgement and a random while more, and kill it."""
    before = ledger.acknowledged
    process = start_child(work)
    try:
        while ledger.acknowledged == before:
            if process.poll() is not None:
                raise RuntimeError(f"the child ended by itself with {process.returncode}")
            time.sleep(0.01)
        time.sleep(random.uniform(0.0, 0.8))
    finally:
        process.kill()
        process.wait()


def _scalar(connection: psycopg.Connection[tuple[int]], query: str) -> int:
    row = connection.execute(query).fetchone()
    return 0 if row is None else row[0]


def main() -> int:
    """Run the command line; exit status 1 where something acknowledged was lost or a naive way lost nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--short", action="store_true", help="5 kills in place of 200 and 10⁶ writes")
    arguments = parser.parse_args()
    kills, acknowledged = (5, 20_000) if arguments.short else (200, 1_000_000)
    figures: dict[str, Figures] = {}
    with PostgresServer() as server:
        for way in ("tiercel", "memory-queue", "delete-first"):
            with server.database() as url:
                is_naive = way != "tiercel"
                figures[way] = run(url, way, 5 if is_naive else kills, 0 if is_naive else acknowledged)
            if not arguments.json:
                print(f"{way}: {figures[way]}", flush=True)
    if arguments.json:
        print(json.dumps({way: vars(each) for way, each in figures.items()}))
    ours = figures.pop("tiercel")
    held = ours.lost == ours.left == ours.regressions == 0
    return 0 if held and all(naive.lost > 0 for naive in figures.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
