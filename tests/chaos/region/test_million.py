"""
A few of the million requests, under two of the twelve faults: what callers get is right, and nearly all get it.

How many are in time is the proof's to say, on a machine that has nothing else to do.
"""

from __future__ import annotations

import pytest

from proofs.million import Defences, run
from tests.rig.process import Unavailable


def test_no_wrong_answer_under_faults() -> None:
    try:
        row = run(Defences(), 500, 100.0, ["refused", "store restarted"])
    except Unavailable as reason:
        pytest.skip(f"redis-server and postgres: {reason}")
    assert row["requests"] == 500
    kinds = {kind.partition(": ")[2] for kind in row["by_fault"]}
    assert not kinds & {"wrong", "older than a write that had ended", "TimeoutError"}
    assert row["bad"] <= 50
