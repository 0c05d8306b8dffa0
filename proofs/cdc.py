"""
What changes in a database without a word to the application falls in every tier, exactly and soon, and none is missed.

Rows are changed by raw SQL, by ``psql`` in transactions that are committed and rolled back, and by an update of
100,000 rows; documents by a plain MongoDB client. What falls must be what the matrix says, of the old and of the new
category, and nothing else. The time from commit to a clean Redis and local tier is measured in a process that is
neither the writer nor the worker. Then workers are killed (SIGKILL) mid-stream, and frozen (SIGSTOP) past their lease
beside a second one: each change is looked for afterwards. Beside it two naive ways, which must miss some: polling for
``updated_at > last``, and trusting the application to say what it changed.

Run: ``python -m proofs.cdc [--json] [--short]``
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from proofs.cdc_faults import survive_freezes, survive_kills
from proofs.cdc_harness import serving
from proofs.cdc_naive import poll_by_time, trust_the_application
from proofs.cdc_scope import documents_fall, rows_fall
from tests.rig import Unavailable


def run(*, is_short: bool) -> dict[str, dict[str, Any]]:
    """Return each part's figures by its name."""
    samples, kills, freezes = (100, 3, 1) if is_short else (1000, 100, 5)
    bulk_rows = 5_000 if is_short else 100_000
    figures: dict[str, dict[str, Any]] = {}
    with serving("postgres") as world:
        figures["postgresql"] = rows_fall(world, samples, bulk_rows)
        figures["kills"] = survive_kills(world, kills)
        figures["freezes"] = survive_freezes(world, freezes)
        figures["naive poll"] = poll_by_time(world, 200)
        figures["naive trust"] = trust_the_application(world, 200)
    if not is_short:
        figures |= with_mongo(samples)
    return figures


def with_mongo(samples: int) -> dict[str, dict[str, Any]]:
    """Return what was found on MongoDB, and what is missing where it is not installed."""
    try:
        with serving("mongodb") as world:
            return {"mongodb": documents_fall(world, samples), "mongodb kills": survive_kills(world, 20)}
    except Unavailable as reason:
        return {"mongodb": {"skipped": str(reason)}}


def is_proven(figures: dict[str, dict[str, Any]]) -> bool:
    """Say whether nothing was missed or fell wrongly, and the naive ways missed some."""
    ours = [each for name, each in figures.items() if not name.startswith("naive") and "skipped" not in each]
    naive = [each for name, each in figures.items() if name.startswith("naive")]
    return all(each["missed"] == each.get("wrong", 0) == 0 for each in ours) and all(each["missed"] for each in naive)


def main() -> int:
    """Run the command line; exit status 1 where a change was missed, or a naive way missed none."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--short", action="store_true", help="3 kills in place of 100, 1 freeze in place of 5")
    arguments = parser.parse_args()
    figures = run(is_short=arguments.short)
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, each in figures.items():
            print(f"{name}: {each}")
    return 0 if is_proven(figures) else 1


if __name__ == "__main__":
    raise SystemExit(main())
