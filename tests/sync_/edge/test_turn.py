# Generated from tests/async_/edge/test_turn.py by tools/unasync.py. Do not edit.
"""
Two machines, one distribution: each keeps its purges in a log of its own, and they send in turns that Redis lends.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.rig.redis import RedisServer
from tests.standins.cloudfront import CloudFrontModel
from tests.standins.crashing import ModelSender
from tiercel._sync.edge_turn import Turn, turns_by
from tiercel._sync.link import Link, open_link
from tiercel._sync.purger import Purger, PurgerOptions
from tiercel._core.backoff import Backoff
from tiercel._core.clock import ManualClock, SystemClock
from tiercel._core.keys import KeySpace
from tiercel._edges.purgelog import PurgeLog
from tiercel._paired import sleep, spawn
from tiercel.cdn.budget import TokenBucket
from tiercel.cdn.capabilities import CLOUDFRONT
from tiercel.cdn.planner import Batch
from tiercel.cdn.purge import PurgeItem
from tiercel.errors import TierUnavailable
from tiercel.typing import Clock

OPTIONS = PurgerOptions(window_s=0.0, poll_s=0.01, retry=Backoff(0.01, 0.01))
LIFE_S = 0.3


@pytest.fixture
def link(redis_server: RedisServer) -> Iterator[Link]:
    opened = open_link(redis_server.url)
    yield opened
    opened.close()


@pytest.fixture
def space() -> KeySpace:
    return KeySpace(f"t{secrets.token_hex(6)}")


def bucket() -> TokenBucket:
    return TokenBucket(1.0, 5, 0.0)


def machine(
    sender: ModelSender, clock: Clock, home: Path, turn: Turn | None, options: PurgerOptions = OPTIONS
) -> Purger:
    """Return the purger of a machine, with a log that no other machine sees."""
    return Purger(PurgeLog(home / "log.sqlite"), sender, None, clock, options, turn)


class FreezingSender(ModelSender):
    """A machine that freezes in the middle of its first request, and goes on when it is told to."""

    def __init__(self, model: CloudFrontModel) -> None:
        super().__init__(model)
        self.is_frozen, self.thaw = threading.Event(), threading.Event()

    def send(self, reference: str, items: Sequence[PurgeItem]) -> str:
        if not self.is_frozen.is_set():
            self.is_frozen.set()
            assert self.thaw.wait(30)
        return super().send(reference, items)


def tags(name: str, count: int) -> list[PurgeItem]:
    return [PurgeItem("tag", f"{name}-{number}") for number in range(count)]


def settle(subject: Purger, clock: ManualClock | None = None) -> None:
    """Run rounds until nothing is open; bounded."""
    for _ in range(5000):
        counts = subject.log.counts()
        if not counts["pending"] and not counts["batched"]:
            return
        subject.step()
        if clock is not None:
            clock.advance(0.05)
        sleep(0.001)
    pytest.fail(f"still open: {subject.log.counts()}")


def test_a_machine_frozen_past_its_lease_loses_nothing_and_sends_nothing_twice(
    link: Link, space: KeySpace, tmp_path: Path
) -> None:
    """
    1. A takes the turn and freezes in its first request of two
    2. its time runs out; B takes the turn and sends
    3. A wakes: the request that it was in goes out, the next one does not, for the turn is B's
    4. A sends the rest in its next turn
    """
    clock, turns = ManualClock(), turns_by(link, space)
    model = CloudFrontModel(clock, completes_after_s=0.0, calls_at_once=50)
    sender = FreezingSender(model)
    first = machine(sender, clock, tmp_path / "a", turns("d", LIFE_S))
    second = machine(ModelSender(model), clock, tmp_path / "b", turns("d", LIFE_S))
    first.add("acme", tags("a", 2), drop=False)
    for number, item in enumerate(tags("a", 2)):  # two requests, though one would do
        rows = [row for row in first.log.pending() if row.item == item]
        first.log.store_batches([_batch(item)], {item: rows}, clock.wall() + number)
    step = spawn("machine-a", first.step)
    for _ in range(3000):
        if sender.is_frozen.is_set():
            break
        sleep(0.01)
    assert sender.is_frozen.is_set()
    second.add("acme", tags("b", 3), drop=False)
    second.step()
    assert model.calls == 0  # the turn is A's, as far as anybody can know
    settle(second, clock)
    assert sent(model) == ["#b-0", "#b-1", "#b-2"]
    held = turns("d", 30.0).take(bucket(), 0.0)  # another machine's turn, still held when A wakes
    assert held == 0.0
    sender.thaw.set()
    step.join(30)
    assert sent(model) == ["#a-0", "#b-0", "#b-1", "#b-2"]
    assert first.log.counts()["batched"] == 2  # one on its way, one not sent
    link.execute(b"DEL", space.own_key("d"))  # the other machine died, and its time ran out
    settle(first, clock)
    assert sent(model) == ["#a-0", "#a-1", "#b-0", "#b-1", "#b-2"]  # nothing lost, nothing twice
    for subject in (first, second):
        subject.close()


@pytest.mark.parametrize("mode", ["turns", "naive"])
def test_the_pace_goes_from_machine_to_machine(
    link: Link, space: KeySpace, tmp_path: Path, mode: str
) -> None:
    """Without turns two machines send twice as fast as one may, and are throttled: the naive way."""
    turns = turns_by(link, space)
    # Redis counts in real time; the naive way needs no Redis, and no busy machine shall slow it down.
    still = None if mode == "turns" else ManualClock()
    clock = still or SystemClock()
    model = CloudFrontModel(clock, completes_after_s=0.0, calls_at_once=6, calls_per_s=40.0)
    pace = replace(CLOUDFRONT, rate_per_s=35.0, burst=5)
    machines = []
    for name in ("a", "b"):
        subject = machine(
            ModelSender(model, pace), clock, tmp_path / name, turns("d", 5.0) if mode == "turns" else None
        )
        machines.append(subject)
        for item in tags(name, 12):  # a request each
            subject.add("acme", [item], drop=False)
            subject.step()
    for subject in machines:
        settle(subject, still)
        subject.close()
    assert sent(model) == sorted(f"#{item.value}" for name in ("a", "b") for item in tags(name, 12))
    assert (model.refused.get("Throttling", 0) == 0) is (mode == "turns")


def test_a_turn_is_one_machines_until_given_back_and_its_fence_grows(link: Link, space: KeySpace) -> None:
    turns = turns_by(link, space)
    first, second = turns("d", 30.0), turns("d", 30.0)
    pace = bucket()
    assert first.take(pace, 0.0) == 0.0
    assert 0 < second.take(bucket(), 0.0) <= 30.0
    for _ in range(3):
        pace.take(0.0)
    pace.rest(10.0)
    first.give_back(pace, 0.0)
    other = bucket()
    assert second.take(other, 100.0) == 0.0
    tokens, rest_s = other.left(100.0)
    assert tokens == pytest.approx(2.0, abs=0.5)
    assert rest_s == pytest.approx(10.0, abs=0.5)
    assert second.keep(other, 100.0)
    link.execute(b"DEL", space.own_key("d"))  # Redis forgot
    assert not second.keep(other, 100.0)
    assert first.take(pace, 0.0) == 0.0


def test_where_redis_does_not_answer_purges_go_out_all_the_same(tmp_path: Path) -> None:
    class Away:
        def script(self, *_: object, **__: object) -> object:
            raise TierUnavailable("Redis is away")

    clock = ManualClock()
    model = CloudFrontModel(clock, completes_after_s=0.0)
    turn = Turn(Away(), b"turn", 30.0)  # type: ignore[arg-type]  # all that it asks of a link
    subject = machine(ModelSender(model), clock, tmp_path, turn)
    subject.add("acme", tags("a", 3), drop=False)
    settle(subject, clock)
    assert sent(model) == ["#a-0", "#a-1", "#a-2"]
    subject.close()


def test_news_of_a_sleeper_moves_no_batch_back(tmp_path: Path) -> None:
    """Two processes of one machine share the log; the one that slept through its lease reports what is long over."""
    log = PurgeLog(tmp_path / "log.sqlite")
    item = PurgeItem("tag", "a")
    log.add("acme", [item], drop=False, now=0.0)
    (reference,) = log.store_batches([_batch(item)], {item: log.pending()}, 0.0)
    slept = log.batches("new")[0]
    log.sent(reference, "I1", 1.0)
    log.done(reference, 2.0)
    log.postpone(reference, 9.0, "too late")
    log.sent(reference, "I2", 3.0)
    log.refused(reference, 4.0, "too late")
    log.split(slept, 5.0)
    assert (log.batches("new"), log.batches("sent"), log.dead()) == ([], [], [])
    assert log.counts()["done"] == 1
    log.close()


def _batch(item: PurgeItem) -> Batch:
    return Batch((item,), (frozenset({item}),))


def sent(model: CloudFrontModel) -> list[str]:
    return sorted(item for one in model.invalidations.values() for item in one.items)
