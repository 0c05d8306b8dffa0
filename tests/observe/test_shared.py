"""Figures of several processes: summed, kept when a process ends, and robust against a damaged file."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tiercel
from tests.observe.figures import NOW_S, journal, link, node, snapshot
from tiercel.observe.families import FAMILIES, HISTOGRAMS
from tiercel.observe.report import Report
from tiercel.observe.shared import SharedFigures, merge_snapshots

ROOT = Path(__file__).parents[2]
CHILD = """
import sys
from tests.observe.figures import snapshot
from tiercel.observe.shared import SharedFigures
SharedFigures(sys.argv[1]).publish(snapshot())
print("published", flush=True)
sys.stdin.read()
"""


def _child(folder: Path) -> subprocess.Popen[str]:
    """Start a process that publishes the figures of `snapshot` and waits for its standard input to end."""
    paths = os.pathsep.join([str(ROOT), str(Path(tiercel.__file__).parents[1])])
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "published\n"
    return child


def _end(child: subprocess.Popen[str]) -> None:
    child.communicate(timeout=60)


def test_what_is_published_is_what_is_read(tmp_path: Path) -> None:
    own = snapshot(gauges={"backplane_lag": 0.5})
    merged = SharedFigures(tmp_path).merged(own)
    assert Report.of(merged) == Report.of(own)
    for family in FAMILIES:
        assert list(family.samples(merged)) == list(family.samples(own))
    for histograms in HISTOGRAMS:
        pairs = zip(histograms.histograms(merged), histograms.histograms(own), strict=True)
        assert all(one[0] == other[0] and one[1].counts == other[1].counts for one, other in pairs)


def test_processes_are_summed_and_one_that_ended_keeps_its_counts(tmp_path: Path) -> None:
    child = _child(tmp_path)
    shared = SharedFigures(tmp_path)
    both = Report.of(shared.merged(snapshot()))
    assert (both.overall.requests, both.overall.connections) == (2200, 2)
    assert (both.regions["product"].memory_bytes, both.overall.journal_pending) == (200_000, 24)
    assert both.overall.response["redis"].count == 600
    _end(child)
    after = Report.of(shared.merged(snapshot()))
    assert (after.overall.requests, after.overall.connections) == (2200, 1)
    assert (after.regions["product"].memory_bytes, after.overall.journal_pending) == (100_000, 12)
    shared.clear()
    assert Report.of(shared.merged(snapshot())).overall.requests == 1100


def test_a_damaged_file_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "1-0.0.figures").write_bytes(b"\x81")
    with caplog.at_level(logging.WARNING):
        merged = SharedFigures(tmp_path).merged(snapshot())
    assert Report.of(merged).overall.requests == 1100
    assert "1-0.0.figures is left out" in caplog.text


def test_of_two_states_the_worse_counts() -> None:
    good = snapshot(links={"redis": link(node("a:1"))}, gauges={"backplane_lag": 0.1})
    bad = snapshot(
        links={"redis": link(node("a:1", breaker="open", is_connected=False), node("b:1"), coverage=0.5)},
        journals={"product": journal(oldest_age_s=9.0, last_error="refused")},
        gauges={"backplane_lag": 2.0},
    )
    for snapshots in ((good, bad), (bad, good)):
        merged = merge_snapshots(NOW_S, snapshots)
        first = merged.links["redis"].nodes["a:1"]
        assert (first.breaker, first.is_connected, first.connections) == ("open", False, 2)
        assert set(merged.links["redis"].nodes) == {"a:1", "b:1"}
        assert merged.links["redis"].coverage == 0.5
        assert (merged.journals["product"].oldest_age_s, merged.journals["product"].last_error) == (9.0, "refused")
        assert merged.gauges == {"backplane_lag": 2.0}
