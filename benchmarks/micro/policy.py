"""
What a live policy costs a local hit: a decorated hit with settings and switches changed live against the file alone.

Both are the same region of the same cache; rounds alternate, and between them the policy is changed and rolled back.
The ratio is that of the medians of CPU time, so that neighbours do not count.

Run: ``python -m benchmarks.micro.policy [--json] [--quick]``
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time

from tiercel import Cache, CacheOptions, Matrix, RegionOptions
from tiercel._core.policy import Switch

OTHERS = tuple(Switch(layer="local", region="query", tenant=f"other-{number}") for number in range(20))


def measure(rounds: int, calls: int) -> dict[str, float]:
    """Return the median nanoseconds of a hit, with the file alone and with a live policy, and their ratio."""
    times: dict[str, list[float]] = {"file": [], "live": []}
    with tempfile.TemporaryDirectory() as folder:
        matrix = Matrix.of(RegionOptions(name="query", tiers=("local",), ttl_s=3600.0), CacheOptions(state_dir=folder))
        with Cache(matrix) as cache:

            @cache.tenant("acme").region("query").cached(key="item:{number}")
            def answer(number: int) -> int:
                return number

            def timed() -> float:
                answer(7)
                started_s = time.process_time()
                for _ in range(calls):
                    answer(7)
                return time.process_time() - started_s

            for _ in range(rounds):
                times["file"].append(timed())
                cache.policy.change({"query": {"ttl": "30m", "grace": "1m"}}, by="benchmark", off=OTHERS)
                times["live"].append(timed())
                cache.policy.book.roll_back(by="benchmark", to=0)
    file_ns, live_ns = (statistics.median(times[name]) / calls * 1e9 for name in ("file", "live"))
    return {"hit_file_ns": file_ns, "hit_live_ns": live_ns, "hit_live_vs_file": live_ns / file_ns}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    arguments = parser.parse_args()
    found = measure(5 if arguments.quick else 21, 100_000 if arguments.quick else 400_000)
    print(
        json.dumps(found) if arguments.json else "\n".join(f"{name:<20} {value:.3f}" for name, value in found.items())
    )


if __name__ == "__main__":
    main()
