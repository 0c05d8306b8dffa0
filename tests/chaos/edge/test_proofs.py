"""
The proofs and measurements of purging in short: killed processes, and a burst beside the naive ways.
"""

from __future__ import annotations

import pytest

from benchmarks.endtoend import purge
from proofs import purge_outbox

pytest.importorskip("boto3", reason="boto3 is not installed (pip install tiercel[cdn])")


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.slow
def test_killed_processes_lose_no_acknowledged_purge() -> None:
    figures = purge_outbox.run(2, durable=True)
    assert figures["acknowledged"] > 0
    assert (figures["lost"], figures["sent_twice"]) == (0, 0)


def test_a_burst_loses_nothing_and_the_naive_ways_do() -> None:
    report = purge.run(6000)
    ways = {one["way"]: one for one in report["ways"]}  # type: ignore[attr-defined]  # a list of figures
    assert ways["one_call_each"]["lost"] > 3000
    assert ways["batches"]["lost"] > 0
    assert ways["tiercel_exact"]["lost"] == ways["tiercel"]["lost"] == 0
    assert ways["tiercel"]["refused"] == 0
    assert ways["tiercel"]["took_s"] < ways["one_call_each_retried"]["took_s"] / 100
