"""
Gathering: the first of a group takes it, in bounded batches, and later ones open it anew.
"""

from __future__ import annotations

from tiercel._core.gathering import Gathering


def test_the_first_takes_all_that_came_meanwhile() -> None:
    gathering: Gathering[str, int, str] = Gathering()
    assert gathering.add("g", 1, "a")
    assert not gathering.add("g", 2, "b")
    assert gathering.add("other", 1, "c"), "groups do not mix"
    assert gathering.take("g") == {1: "a", 2: "b"}
    assert not gathering.add("g", 3, "d"), "its taker has not finished"
    assert gathering.take("g") == {3: "d"}
    assert gathering.take("g") == {}
    assert gathering.add("g", 4, "e"), "a new group"


def test_a_batch_is_bounded() -> None:
    gathering: Gathering[str, int, int] = Gathering(most=2)
    for number in range(5):
        gathering.add("g", number, number)
    assert [len(gathering.take("g")) for _ in range(4)] == [2, 2, 1, 0]
