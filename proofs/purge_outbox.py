"""
A purge that was acknowledged reaches the CDN, though the process that holds it is killed again and again.

A process purges one tag after another through the log on disk and says each number once its purge is acknowledged. It
is killed with SIGKILL at random moments, started anew, killed again. The distribution is the stand-in with
CloudFront's limits, outside of the process. In the end a last process drains the log. Then every acknowledged tag
must have fallen, and no request may have been sent under two references. Beside it the naive way: the same without a
log on disk.

Run: ``python -m proofs.purge_outbox [--json] [--short]``
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.standins.cloudfront import CloudFrontModel, CloudFrontStandIn
from tiercel._core.clock import SystemClock
from tiercel._sync.edge import open_edge
from tiercel.cdn.purge import PurgeRequest
from tiercel.cdn.tagcodec import TagCodec

ROOT = Path(__file__).resolve().parent.parent
CODEC = TagCodec()
PAUSE_S = 0.002


def edge_url(endpoint: str) -> str:
    """Return the edge's URL: a short window and lease, and a pace that the stand-in allows."""
    options = "window=0.05&lease=0.2&rate=40&burst=20&overflow=uncacheable"
    return f"s3+cloudfront://bucket/E1?endpoint={endpoint}&{options}"


def child(endpoint: str, home: str, first: int) -> None:
    """Purge tag after tag until killed; each number is printed once its purge is acknowledged."""
    edge = open_edge(edge_url(endpoint), state_dir=Path(home) if home else None)
    number = first
    while True:
        edge.purge(PurgeRequest(tags=[f"product:{number}"], tenant="acme", keep_origin=True))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        number += 1
        time.sleep(PAUSE_S)


def live_and_die(endpoint: str, home: str, first: int, life_s: float) -> list[int]:
    """Run one process for *life_s* after its first word, kill it, and return what it acknowledged."""
    command = [sys.executable, "-m", "proofs.purge_outbox", "--child", endpoint, home, str(first)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
    assert process.stdout is not None
    try:
        words = [process.stdout.readline()]
        time.sleep(life_s)
    finally:
        process.kill()
    words += process.stdout.read().splitlines(keepends=True)
    process.stdout.close()
    process.wait()
    return [int(word) for word in words if word.endswith("\n")]  # a torn last word was never heard


def drain(endpoint: str, home: Path, deadline_s: float = 60.0) -> None:
    """Let a last process finish what is stored."""
    edge = open_edge(edge_url(endpoint), state_dir=home, start=False)
    assert edge.purger is not None
    ends = time.monotonic() + deadline_s
    counts = edge.purger.log.counts()
    while (counts["pending"] or counts["batched"]) and time.monotonic() < ends:
        time.sleep(min(0.1, edge.purger.step()))
        counts = edge.purger.log.counts()
    edge.close()


def run(kills: int, *, durable: bool) -> dict[str, int]:
    """Kill a purging process *kills* times and count what was acknowledged, lost, and sent twice."""
    chance = random.Random(11)
    model = CloudFrontModel(SystemClock(), completes_after_s=0.1, calls_at_once=20, calls_per_s=50.0)
    acknowledged: list[int] = []
    with tempfile.TemporaryDirectory() as home, CloudFrontStandIn(model) as server:
        for _ in range(kills):
            first = max(acknowledged, default=-1) + 2  # one number may have been stored and not said
            acknowledged += live_and_die(server.url, home if durable else "", first, chance.uniform(0.0, 0.6))
        if durable:
            drain(server.url, Path(home))
    return judge(acknowledged, model)


def judge(acknowledged: Sequence[int], model: CloudFrontModel) -> dict[str, int]:
    """Return the figures of one run."""
    sent = Counter(item for one in model.invalidations.values() for item in one.items)
    wanted = {"#" + CODEC.encode("acme", f"product:{number}") for number in acknowledged}
    family = "#" + CODEC.family_tag("acme", "product:0")
    lost = 0 if sent[family] else sum(name not in sent for name in wanted)
    return {
        "acknowledged": len(wanted),
        "lost": lost,
        "sent_twice": sum(count - 1 for name, count in sent.items() if name != family),
        "requests": len(model.invalidations),
    }


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--child", nargs=3, metavar=("ENDPOINT", "HOME", "FIRST"))
    arguments = parser.parse_args()
    os.environ.update(AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x", AWS_EC2_METADATA_DISABLED="true")  # noqa: S106
    if arguments.child:
        endpoint, home, first = arguments.child
        child(endpoint, home, int(first))
    kills = 3 if arguments.short else 60
    figures = {"kills": kills, "tiercel": run(kills, durable=True), "naive": run(min(kills, 6), durable=False)}
    print(json.dumps(figures) if arguments.json else "\n".join(f"{name}: {value}" for name, value in figures.items()))
    tiercel = figures["tiercel"]
    assert isinstance(tiercel, dict)
    return 0 if tiercel["lost"] == tiercel["sent_twice"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
