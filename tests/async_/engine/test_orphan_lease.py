"""
A lease that nobody holds any more makes nobody wait until his own time is over.
"""

from __future__ import annotations

import time

from tests.async_.engine.conftest import Node
from tiercel import RegionOptions


async def test_a_reader_loads_himself_while_another_nodes_load_does_not_end(node: Node) -> None:
    page = RegionOptions(name="far_page", tiers=("redis",), ttl_s=60.0, load_timeout_s=3.0)
    region = (await node(far_page=page)).tenant("acme").region("far_page")
    far = region.place.core.far
    assert far is not None
    await far.begin_fill(region.place.name("k"), 7, 60_000, b"")

    started = time.monotonic()
    assert await region.get_or_load("k", lambda: "loaded") == "loaded"
    assert 1.9 < time.monotonic() - started < 3.0
    assert await region.get("k", None) is None  # without a lease nothing may be kept
