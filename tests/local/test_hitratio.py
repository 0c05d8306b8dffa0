"""The hit-ratio benchmark in small: ours against the published policies on an invented trace."""

from __future__ import annotations

import pytest

from benchmarks.hitratio.baselines import POLICIES, clairvoyant_hits
from benchmarks.hitratio.chart import draw
from benchmarks.hitratio.policies import OURS, cell, replay, summarize
from benchmarks.hitratio.traces import synthetic


@pytest.mark.slow
def test_ours_is_near_the_best_published_policy_and_never_far_below_lru() -> None:
    trace = synthetic(40_000)
    cells = [cell(trace, percent) for percent in (2.0, 10.0)]
    figures = summarize(cells)
    assert figures["mean_regret"] <= 1.5
    assert figures["worst_against_lru"] >= -0.5
    assert figures["worst_against_lru_ttl"] >= -0.5
    assert draw(cells).startswith("<svg")
    for row in cells:
        assert row["hit_ratio"]["clairvoyant"] >= max(row["hit_ratio"][name] for name in [OURS, *POLICIES])
        assert row["hit_ratio_bytes"][OURS] > row["hit_ratio_bytes"]["LRU"]


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("size", [1, 2, 10, 50])
def test_the_published_policies_hold_what_fits_and_no_more(name: str, size: int) -> None:
    loop = list(range(size)) * 20
    policy = POLICIES[name](size)
    if not name.startswith("W-TinyLFU"):  # its window takes room that nothing else may use
        assert replay(policy, loop) >= len(loop) - 2 * size - size * 4
    longer = list(range(size * 3)) * 5
    assert replay(POLICIES[name](size), longer) <= clairvoyant_hits(longer, size)
