# Generated from tests/async_/changes/test_follower.py by tools/unasync.py. Do not edit.
"""The order that makes a kill harmless: read, fall everywhere, only then move the position."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from tiercel._sync.changes.applier import Applier
from tiercel._sync.changes.follower import Follower
from tiercel._sync.changes.lease import ChangeLease
from tiercel._sync.changes.protocol import SourceFigures, Stretch
from tiercel._core.changeoptions import ChangeRule, ChangeSource
from tiercel._core.clock import SystemClock
from tiercel._core.fallout import Fallout
from tiercel._core.rowfall import RowFall
from tiercel._paired import Event, Poll, spawn
from tiercel.errors import StoreError

OPTIONS = ChangeSource(name="shop", url="postgres://h/d", rules=(ChangeRule(table="t", tags=("x",)),), lease_s=0.5)


class Followed:
    """A source, a lease and an applier that write down what is asked of them."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.figures = SourceFigures()
        self.script: list[Callable[[Fallout], Stretch]] = []
        self.gap = ""
        self.settles = True
        self.is_ours = True
        self.stopping = Event()
        self.said: list[str] = []

    def follower(self) -> Follower:
        return Follower(
            OPTIONS,
            self,
            cast("ChangeLease", self),
            cast("Applier", self),
            at_loss=["product"],
            clock=SystemClock(),
            events=self.tell,
            stopping=self.stopping,
        )

    def tell(self, name: str, fields: Mapping[str, Any]) -> None:
        self.said.append(name)

    def take(self) -> bool:
        return self.is_ours

    def position(self) -> str:
        return "0"

    def keep(self, position: str = "") -> bool:
        if position:
            self.log.append(f"keep {position}")
        return self.is_ours

    def release(self) -> None:
        self.log.append("release")

    def open(self, position: str) -> str:
        self.log.append(f"open {position}")
        return self.gap

    def receive(self, fallout: Fallout, wait_s: float) -> Stretch:
        if self.script:
            return self.script.pop(0)(fallout)
        self.stopping.wait_for(0.02)
        return Stretch()

    def confirm(self, position: str) -> None:
        self.log.append(f"confirm {position}")

    def apply(self, fallout: Fallout) -> None:
        fell = [key for _, tenant in fallout.tenants() for keys in tenant.keys.values() for key in keys]
        self.log.append(f"fell {' '.join(fell)}")

    def everything(self, regions: list[str]) -> None:
        self.log.append(f"all fell {' '.join(regions)}")

    def settle(self, deadline_s: float) -> bool:
        return self.settles

    def close(self) -> None:
        self.log.append("close")

    def run_until(self, is_done: Callable[[], bool]) -> list[str]:
        """Follow until *is_done*; return what happened in order."""
        job = spawn("follower", self.follower().run)
        poll = Poll(10.0)
        while not is_done() and poll.again():
            pass
        self.stopping.set()
        assert job.join(10.0)
        return self.log


def changed(key: str, position: str) -> Callable[[Fallout], Stretch]:
    def receive(fallout: Fallout) -> Stretch:
        fallout.add(RowFall("acme", (("acme", "product", key),), (), (), 0))
        return Stretch(position, 0.0)

    return receive


def failing(fallout: Fallout) -> Stretch:
    fallout.add(RowFall("acme", (("acme", "product", "half"),), (), (), 0))
    raise StoreError("the connection broke in the middle")


def test_the_position_moves_behind_what_fell() -> None:
    stage = Followed()
    stage.script = [changed("p1", ""), changed("p2", "7")]  # one transaction in two pieces
    log = stage.run_until(lambda: "confirm 7" in stage.log)
    assert log == ["open 0", "fell p1 p2", "keep 7", "confirm 7", "close", "release"]


def test_what_has_not_fallen_everywhere_is_not_confirmed() -> None:
    stage = Followed()
    stage.settles = False
    stage.script = [changed("p1", "7")]
    log = stage.run_until(lambda: "fell p1" in stage.log)
    assert not [each for each in log if each.startswith(("keep 7", "confirm"))]


def test_who_leads_no_longer_confirms_nothing() -> None:
    stage = Followed()

    def overtaken(fallout: Fallout) -> Stretch:
        stage.is_ours = False
        return changed("p1", "7")(fallout)

    stage.script = [overtaken]
    log = stage.run_until(lambda: "changes_overtaken" in stage.said)
    assert "confirm 7" not in log
    assert log[-2:] == ["close", "release"]


def test_a_source_that_breaks_is_opened_again() -> None:
    stage = Followed()
    stage.script = [failing, changed("p1", "7")]
    log = stage.run_until(lambda: "confirm 7" in stage.log)
    assert log == ["open 0", "close", "release", "open 0", "fell p1", "keep 7", "confirm 7", "close", "release"]
    assert "fell half" not in log  # its transaction comes again, whole
    assert (stage.figures.reconnects, stage.figures.last_error) == (1, None)


def test_a_gap_makes_everything_watched_fall_first() -> None:
    stage = Followed()
    stage.gap = "the slot is new"
    stage.script = [changed("p1", "7")]
    log = stage.run_until(lambda: "confirm 7" in stage.log)
    assert log[:3] == ["open 0", "all fell product", "fell p1"]
    assert stage.figures.missed == 1
