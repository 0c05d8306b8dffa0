"""
What callers of a region see while Redis is struck: no error, no wrong value, an answer in time. The proof, shortened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from proofs.fault_table import strike_naive
from tests.rig.process import Unavailable
from tests.rig.redis import any_binary
from tiercel.drill.deployments import Cluster, Deployment, Sentinel, Standalone
from tiercel.drill.faults import faults_of
from tiercel.drill.table import Drill, Promise, run_table

# The proof holds reads to a quarter of a second, on a machine with nothing else to do; the test suite has no such.
SHORT = Drill(seconds=0.8, rate=200.0, promise=Promise(deadline_s=1.0))


def _binary() -> str:
    try:
        return str(any_binary())
    except Unavailable as reason:
        pytest.skip(f"redis-server: {reason}")


@pytest.fixture(scope="module")
def standalone() -> Iterator[Deployment]:
    with Standalone(_binary()) as deployment:
        yield deployment


@pytest.mark.parametrize("name", ["deaf", "+500 ms", "oom", "restarted"])
async def test_callers_of_a_region_see_no_fault(standalone: Deployment, name: str) -> None:
    (row,) = await run_table(standalone, SHORT, [name])
    assert row.reads > 100
    assert row.broken == (), row


@pytest.mark.parametrize("kind", [Cluster, Sentinel])
async def test_callers_see_no_fail_over(kind: type[Deployment]) -> None:
    with kind(_binary()) as deployment:
        (row,) = await run_table(deployment, SHORT, ["killed"])
        assert row.broken == (), row


async def test_callers_of_the_naive_way_see_it_all(standalone: Deployment) -> None:
    (busy,) = faults_of(standalone, ["busy"])
    seen = await strike_naive(standalone, busy, SHORT)
    assert seen.errors
    await asyncio.to_thread(standalone.wait_well)
