"""
The gutter's decisions: when a part is away, what of the gutter counts, and how long it lives.
"""

from __future__ import annotations

import pytest

from tiercel._core.frame import Frame, State
from tiercel._core.gutter import PROBE_S, GutterFrame, GutterParts, capped
from tiercel._core.record import Windows


def made_at(created_ms: int) -> Frame:
    return Frame(State.LIVE, 1, created_ms=created_ms)


def test_only_what_was_made_in_this_stay_counts() -> None:
    parts = GutterParts()
    assert not parts.counts(0, made_at(1000)), "nothing counts while the far tier serves"
    assert parts.enter(0, 1000, 0.0)
    assert not parts.counts(0, made_at(999))
    assert parts.counts(0, made_at(1000))
    assert parts.leave(0)
    assert parts.enter(0, 2000, 1.0)
    assert not parts.counts(0, made_at(1000)), "the earlier stay's"


def test_entering_again_does_not_move_the_beginning_and_leaving_twice_is_told_once() -> None:
    parts = GutterParts()
    assert parts.enter(7, 1000, 0.0)
    assert not parts.enter(7, 5000, 0.1)
    assert parts.counts(7, made_at(1000))
    assert parts.leave(7)
    assert not parts.leave(7)
    assert not parts.is_away(7)


def test_parts_are_away_each_on_its_own() -> None:
    parts = GutterParts()
    parts.enter(3, 0, 0.0)
    assert (parts.is_away(3), parts.is_away(4), len(parts)) == (True, False, 1)


def test_one_call_probes_in_each_pause() -> None:
    parts = GutterParts()
    parts.enter(0, 0, 10.0)
    assert not parts.may_probe(0, 10.0)
    assert parts.may_probe(0, 10.0 + PROBE_S)
    assert not parts.may_probe(0, 10.0 + PROBE_S)
    assert parts.may_probe(0, 10.0 + 2 * PROBE_S)


@pytest.mark.parametrize(
    ("windows", "longest_ms", "expected"),
    [
        (Windows(60_000, 5_000, 60_000), 10_000, Windows(10_000, 0, 0)),
        (Windows(6_000, 5_000, 60_000), 10_000, Windows(6_000, 4_000, 0)),
        (Windows(1_000, 2_000, 3_000), 10_000, Windows(1_000, 2_000, 3_000)),
    ],
)
def test_lives_are_cut_from_the_end(windows: Windows, longest_ms: int, expected: Windows) -> None:
    assert capped(windows, longest_ms) == expected


def test_a_record_of_the_gutter_stays_one_when_it_is_changed() -> None:
    assert type(GutterFrame(*made_at(5))._replace(payload=b"x")) is GutterFrame
