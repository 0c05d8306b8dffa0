# Generated from tests/async_/edge/test_purger.py by tools/unasync.py. Do not edit.
"""
The purger against CloudFront's real limits, on a clock that only the test moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.standins.cloudfront import CloudFrontModel
from tests.standins.crashing import Crash, Fuse, ModelSender, fused_log, fused_sender
from tiercel._sync.purger import Purger, PurgerOptions
from tiercel._core.backoff import Backoff
from tiercel._core.clock import ManualClock, SystemClock
from tiercel._edges.folder import FolderOrigin
from tiercel._edges.protocols import Origin
from tiercel._edges.purgelog import PurgeLog
from tiercel._paired import Event, sleep
from tiercel.cdn.budget import Budget
from tiercel.cdn.capabilities import CLOUDFRONT
from tiercel.cdn.objects import EdgeObject
from tiercel.cdn.planner import plan
from tiercel.cdn.purge import PurgeItem

OPTIONS = PurgerOptions(window_s=1.0, poll_s=2.0, retry=Backoff(1.0, 30.0))


def paths(count: int, folder: str = "/p/") -> list[PurgeItem]:
    return [PurgeItem("path", f"{folder}{number}") for number in range(count)]


def purger(
    model: CloudFrontModel, clock: ManualClock, file: Path | None = None, options: PurgerOptions = OPTIONS
) -> Purger:
    return Purger(PurgeLog(file), ModelSender(model), None, clock, options)


def settle(subject: Purger, clock: ManualClock, *, rounds: int = 2000) -> int:
    """Run rounds, moving the clock as far as each asks, until nothing is open; return how many it took."""
    for number in range(rounds):
        counts = subject.log.counts()
        if not counts["pending"] and not counts["batched"]:
            return number
        clock.advance(subject.step())
    pytest.fail(f"still open after {rounds} rounds: {subject.log.counts()}")


def sent(model: CloudFrontModel) -> set[str]:
    return {item for one in model.invalidations.values() for item in one.items}


def test_purges_of_one_window_become_one_request() -> None:
    clock = ManualClock()
    model = CloudFrontModel(clock)
    subject = purger(model, clock)
    for item in paths(40):
        subject.add("acme", [item], drop=False)
        subject.add("acme", [item], drop=False)  # the same again is no second item
    settle(subject, clock)
    assert model.billed == 40
    assert len(model.invalidations) == 1
    assert subject.log.counts()["asked_total"] == 80
    subject.close()


def test_nothing_is_sent_before_the_window_ends() -> None:
    clock = ManualClock()
    model = CloudFrontModel(clock)
    subject = purger(model, clock)
    subject.add("acme", paths(1), drop=False)
    assert subject.step() == pytest.approx(1.0)
    assert model.calls == 0
    clock.advance(1.0)
    subject.step()
    assert model.calls == 1
    subject.close()


def test_status_follows_the_cdn_and_ends_done() -> None:
    clock = ManualClock()
    model = CloudFrontModel(clock, completes_after_s=10.0)
    subject = purger(model, clock)
    numbers = [number for number, _ in subject.add("acme", paths(3), drop=False)]
    assert (subject.status(numbers)).state == "pending"
    clock.advance(1.0)
    subject.step()
    assert (subject.status(numbers)).state == "pending"  # accepted is not complete
    clock.advance(10.0)
    subject.step()
    status = subject.status(numbers)
    assert (status.state, status.done_s) == ("done", clock.wall())
    subject.close()


def test_a_purge_asked_for_while_one_is_on_its_way_is_sent_again() -> None:
    """The edge may have fetched again between the two, so the second must not be taken for a repeat of the first."""
    clock = ManualClock()
    model = CloudFrontModel(clock)
    subject = purger(model, clock)
    subject.add("acme", paths(1), drop=False)
    clock.advance(1.0)
    subject.step()
    subject.add("acme", paths(1), drop=False)
    settle(subject, clock)
    assert [one.items for one in model.invalidations.values()] == [("/p/0",), ("/p/0",)]
    assert len(model.references) == 2
    subject.close()


def test_a_flood_beyond_every_limit_loses_nothing() -> None:
    clock = ManualClock()
    model = CloudFrontModel(clock, completes_after_s=5.0)
    subject = purger(model, clock, options=replace(OPTIONS, pending_max=5000))
    wanted = [PurgeItem("path", f"/{number % 97}/{number}") for number in range(8000)]
    for start in range(0, len(wanted), 500):
        subject.add("acme", wanted[start : start + 500], drop=False)
    settle(subject, clock)
    assert sent(model) == {item.value for item in wanted}
    assert subject.log.counts()["done"] == 8000
    subject.close()


def test_more_than_fifteen_wildcards_wait_for_room() -> None:
    clock = ManualClock()
    model = CloudFrontModel(clock)
    subject = purger(model, clock)
    subject.add("acme", [PurgeItem("prefix", f"/{number}/") for number in range(40)], drop=False)
    settle(subject, clock)
    assert model.billed == 40
    assert model.refused.get("TooManyInvalidationsInProgress", 0) == 0
    subject.close()


def test_another_programs_invalidations_are_waited_for() -> None:
    clock = ManualClock()
    model = CloudFrontModel(clock, completes_after_s=60.0)
    model.create("somebody-else", [f"/x/{number}" for number in range(2999)])
    subject = purger(model, clock)
    subject.add("acme", paths(10), drop=False)
    settle(subject, clock)
    assert model.refused["TooManyInvalidationsInProgress"] >= 1
    assert sent(model) >= {f"/p/{number}" for number in range(10)}
    subject.close()


def test_throttling_without_retry_after_slows_down_and_loses_nothing() -> None:
    clock = ManualClock()
    model = CloudFrontModel(clock, calls_at_once=1, calls_per_s=0.05)
    subject = purger(model, clock)
    for round_number in range(6):
        subject.add("acme", [PurgeItem("path", f"/r/{round_number}")], drop=False)
        clock.advance(1.0)
        subject.step()
    settle(subject, clock)
    assert model.refused["Throttling"] >= 1
    assert sent(model) == {f"/r/{number}" for number in range(6)}
    subject.close()


def test_one_poisoned_item_is_parked_alone_and_can_be_replayed() -> None:
    clock = ManualClock()
    model = CloudFrontModel(clock, poison=frozenset({"/p/37"}))
    subject = purger(model, clock)
    added = subject.add("acme", paths(100), drop=False)
    settle(subject, clock)
    assert [(item.value, reason.split(":")[0]) for _, item, reason in subject.log.dead()] == [
        ("/p/37", "InvalidArgument")
    ]
    assert sent(model) == {f"/p/{number}" for number in range(100)} - {"/p/37"}
    assert (subject.status([number for number, _ in added])).state == "failed"
    model.poison = frozenset()
    assert subject.log.replay(clock.wall()) == 1
    settle(subject, clock)
    assert "/p/37" in sent(model)
    assert subject.log.dead() == []
    subject.close()


def test_only_the_leader_sends_and_a_dead_one_is_replaced(tmp_path: Path) -> None:
    clock = ManualClock()
    model = CloudFrontModel(clock)
    first, second = (purger(model, clock, tmp_path / "log.sqlite") for _ in range(2))
    first.add("acme", paths(1), drop=False)
    first.step()
    clock.advance(1.0)
    second.step()  # the first holds the lease
    assert model.calls == 0
    clock.advance(OPTIONS.lease_s)  # the first died
    second.step()
    assert model.calls == 1
    first.step()
    assert model.calls == 1
    second.close()
    first.close()


def test_a_leader_that_slept_through_its_lease_stores_nothing_twice(tmp_path: Path) -> None:
    clock = ManualClock()
    model = CloudFrontModel(clock)
    first, second = (purger(model, clock, tmp_path / "log.sqlite") for _ in range(2))
    first.add("acme", paths(5), drop=False)
    seen = first.log.pending()  # the first reads, and then sleeps
    clock.advance(OPTIONS.lease_s)
    settle(second, clock)
    planned = plan([row.item for row in seen], CLOUDFRONT)
    assert first.log.store_batches(planned.batches, {row.item: [row] for row in seen}, clock.wall()) == []
    assert model.billed == 5
    second.close()
    first.close()


def test_a_budget_in_trouble_widens_the_window_and_folds() -> None:
    clock = ManualClock()
    model = CloudFrontModel(clock)
    budget = Budget(usd_month=0.10, price_per_item=0.005, free_items_month=0)
    subject = purger(model, clock, options=replace(OPTIONS, budget=budget))
    subject.add(
        "acme", [PurgeItem("path", f"/a/{n}/x") for n in range(20)], drop=False
    )  # 20 items are the budget
    settle(subject, clock)
    spent = subject.spending()
    assert (spent.items, spent.cost_usd, spent.budget_used, spent.state) == (20, 0.10, 1.0, "limit")
    told: list[float] = []
    subject.on_spending = lambda spending: told.append(spending.budget_used)
    subject.add("acme", paths(30), drop=False)
    clock.advance(1.0)
    subject.step()
    assert model.billed == 20  # the window is sixteen times as long now
    settle(subject, clock)
    assert sent(model) >= {"/p/*"}
    assert model.billed == 21
    assert set(told) == {1.0}
    subject.close()


def test_a_spent_budget_can_leave_copies_to_their_ttl() -> None:
    clock = ManualClock()
    model = CloudFrontModel(clock)
    budget = Budget(usd_month=0.005, price_per_item=0.005, free_items_month=0, on_limit="ttl")
    subject = purger(model, clock, options=replace(OPTIONS, budget=budget))
    subject.add("acme", paths(1), drop=False)
    settle(subject, clock)
    added = subject.add("acme", paths(1), drop=False)
    settle(subject, clock)
    assert (subject.status([added[0][0]])).state == "left_to_ttl"
    assert model.billed == 1
    subject.close()


def test_a_tenant_beyond_its_quota_folds_and_the_others_do_not() -> None:
    clock = ManualClock()
    model = CloudFrontModel(clock)
    subject = purger(model, clock, options=replace(OPTIONS, quota_hour=10))
    loud = [PurgeItem("tag", f"product-{number}~a", group="product.any~a") for number in range(50)]
    subject.add("loud", loud, drop=False)
    subject.add(
        "calm", [PurgeItem("tag", f"product-{number}~b", group="product.any~b") for number in range(3)], drop=False
    )
    settle(subject, clock)
    assert sent(model) == {"#product.any~a", "#product-0~b", "#product-1~b", "#product-2~b"}
    subject.close()


@pytest.mark.parametrize("drops_first", [True, False])
def test_r13_the_origin_drops_before_the_edge_is_purged(tmp_path: Path, drops_first: bool) -> None:
    """
    1. the edge is purged
    2. a reader misses there: the edge fetches the old answer again, from the tier behind it
    3. that tier is purged; the edge serves the old answer until its ttl ends

    The naive way, which purges the outer tier first, must lose.
    """
    clock = ManualClock()
    origin = FolderOrigin(tmp_path / "origin")
    origin.put(EdgeObject(path="/p/1", body=b"old", published_s=clock.wall(), ttl_s=60))
    at_edge: list[EdgeObject | None] = [origin.get("/p/1")]

    def purged(_items: object) -> None:
        at_edge[0] = origin.get("/p/1")  # somebody asks at once

    model = CloudFrontModel(clock, on_complete=purged)
    subject = Purger(PurgeLog(None), ModelSender(model), origin, clock, OPTIONS)
    subject.add("acme", [PurgeItem("path", "/p/1")], drop=drops_first)
    settle(subject, clock)
    if not drops_first:
        origin.remove("/p/1")
    assert (at_edge[0] is None) is drops_first
    subject.close()


def test_a_second_purge_follows_later_and_only_once() -> None:
    clock = ManualClock()
    model = CloudFrontModel(clock)
    subject = purger(model, clock, options=replace(OPTIONS, again_s=20.0))
    subject.add("acme", paths(1), drop=False)
    settle(subject, clock)
    assert model.billed == 1
    for _ in range(200):
        clock.advance(subject.step())
    assert [one.items for one in model.invalidations.values()] == [("/p/0",), ("/p/0",)]
    subject.close()


def test_a_mistake_in_one_round_does_not_end_the_sending(caplog: pytest.LogCaptureFixture) -> None:
    model = CloudFrontModel(SystemClock(), completes_after_s=0.0)
    sender = ModelSender(model)
    real, failed = sender.send, Event()

    def failing(reference: str, items: Sequence[PurgeItem]) -> str:
        if not failed.is_set():
            failed.set()
            raise ValueError("a mistake")
        return real(reference, items)

    sender.send = failing  # type: ignore[method-assign]  # one mistake
    quick = PurgerOptions(window_s=0.0, poll_s=0.01, retry=Backoff(0.01, 0.01))
    subject = Purger(PurgeLog(None), sender, None, SystemClock(), quick)
    subject.start()
    numbers = [number for number, _ in subject.add("acme", paths(1), drop=False)]
    for _ in range(1000):
        if (subject.status(numbers)).state == "done":
            break
        sleep(0.01)
    assert (subject.status(numbers)).state == "done"
    assert "a mistake" in caplog.text
    subject.close()


class Journey:
    """One purge from the request to its end, by a process that may die, and the processes after it."""

    def __init__(self, home: Path) -> None:
        self.clock = ManualClock()
        self.model = CloudFrontModel(self.clock)
        self.origin: Origin = FolderOrigin(home / "origin")
        self.file = home / "log.sqlite"
        self.origin.put(EdgeObject(path="/p/1", body=b"old", published_s=0, ttl_s=60))

    def process(self, fuse: Fuse) -> Purger:
        log = fused_log(PurgeLog(self.file), fuse)
        return Purger(log, fused_sender(ModelSender(self.model), fuse), self.origin, self.clock, OPTIONS)

    def run(self, fuse: Fuse, wanted: Sequence[PurgeItem]) -> None:
        subject = self.process(fuse)
        acknowledged = False
        try:
            subject.add("acme", wanted, drop=True)
            acknowledged = True
            settle(subject, self.clock)
        except Crash:
            subject.log.close()
        else:
            subject.close()
            return
        survivor = self.process(Fuse())
        self.clock.advance(OPTIONS.lease_s)
        if not acknowledged:  # the caller saw an error and asks again
            survivor.add("acme", wanted, drop=True)
        settle(survivor, self.clock)
        survivor.close()


def test_a_crash_at_any_step_loses_nothing_and_sends_nothing_twice(tmp_path: Path) -> None:
    wanted = paths(3)
    whole = Fuse()
    (tmp_path / "whole").mkdir()
    journey = Journey(tmp_path / "whole")
    journey.run(whole, wanted)
    assert {"add", "store_batches", "send", "sent", "poll", "done"} <= set(whole.steps)
    assert journey.model.billed == 3
    for number in range(len(whole.steps)):
        for after in (False, True):
            home = tmp_path / f"{number}-{after}"
            home.mkdir()
            journey = Journey(home)
            journey.run(Fuse(number, after=after), wanted)
            where = f"{'after' if after else 'before'} step {number}, {whole.steps[number]}"
            assert sent(journey.model) == {item.value for item in wanted}, where
            assert journey.model.billed == 3, where
            assert journey.origin.get("/p/1") is None, where


def test_without_a_stored_reference_a_crash_after_sending_sends_twice() -> None:
    """The naive way: a reference made at each try. The same crash is billed twice."""
    clock = ManualClock()
    model = CloudFrontModel(clock)
    sender = ModelSender(model)
    sender.send("made at the first try", paths(3))
    sender.send("made at the second try", paths(3))
    assert model.billed == 6


def test_a_pure_content_hash_as_reference_swallows_the_next_purge() -> None:
    """
    The other naive way: the second, later purge of the same path returns the first, completed one and does nothing.
    """
    clock = ManualClock()
    fallen: list[Sequence[str]] = []
    model = CloudFrontModel(clock, on_complete=fallen.append)
    sender = ModelSender(model)
    for _ in range(2):
        sender.send("hash of /p/0", paths(1))
        clock.advance(60.0)
        model.settle()
    assert len(fallen) == 1
    subject = purger(CloudFrontModel(clock, on_complete=fallen.append), clock)
    for _ in range(2):
        subject.add("acme", paths(1), drop=False)
        settle(subject, clock)
    assert len(fallen) == 3
    subject.close()


def test_capabilities_of_the_model_are_cloudfronts() -> None:
    assert (CLOUDFRONT.items_in_progress, CLOUDFRONT.prefixes_in_progress) == (3000, 15)
