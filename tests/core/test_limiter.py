"""The concurrency limit: it holds, it learns, it sheds in time."""

from __future__ import annotations

import heapq
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercel._core.limiter import Limiter, LimiterOptions, Ticket, TicketState
from tiercel.errors import ConfigurationError

ADMITTED, QUEUED, SHED, ENDED = TicketState.ADMITTED, TicketState.QUEUED, TicketState.SHED, TicketState.ENDED
TWO = LimiterOptions(start=2, least=1, most=2)


def test_calls_over_the_limit_wait_in_order() -> None:
    limiter = Limiter(TWO)
    tickets = [limiter.enter(0.0, 10.0) for _ in range(4)]
    assert [ticket.state for ticket in tickets] == [ADMITTED, ADMITTED, QUEUED, QUEUED]
    assert limiter.leave(tickets[0], 1.0) == [tickets[2]]
    assert tickets[2].state is ADMITTED
    assert limiter.leave(tickets[1], 1.0) == [tickets[3]]


def test_nobody_overtakes_the_queue() -> None:
    limiter = Limiter(TWO)
    first, second, third = (limiter.enter(0.0, 10.0) for _ in range(3))
    limiter.leave(first, 1.0)
    assert limiter.enter(1.0, 10.0).state is QUEUED
    assert (second.state, third.state) == (ADMITTED, ADMITTED)


def test_a_caller_whose_turn_would_come_too_late_is_shed_at_once() -> None:
    limiter = Limiter(TWO)
    limiter.leave(limiter.enter(0.0, 10.0), 1.0)  # a call takes a second
    for _ in range(2):
        limiter.enter(1.0, 10.0)
    assert limiter.enter(1.0, 1.4).state is SHED
    assert limiter.enter(1.0, 2.0).state is QUEUED
    assert limiter.shed == 1


def test_a_caller_whose_time_passed_in_the_queue_is_shed_when_its_turn_comes() -> None:
    limiter = Limiter(TWO)
    admitted = [limiter.enter(0.0, 10.0) for _ in range(2)]
    waiting = limiter.enter(0.0, 1.0)
    assert limiter.leave(admitted[0], 2.0) == [waiting]
    assert waiting.state is SHED
    assert limiter.in_flight == 1


def test_a_caller_may_give_up_waiting() -> None:
    limiter = Limiter(TWO)
    admitted = [limiter.enter(0.0, 10.0) for _ in range(2)]
    waiting = limiter.enter(0.0, 10.0)
    assert limiter.leave(waiting, 0.5) == []
    assert limiter.leave(admitted[0], 1.0) == []
    assert limiter.in_flight == 1


def test_the_queue_is_bounded() -> None:
    limiter = Limiter(LimiterOptions(start=1, most=1, queue=1))
    assert [limiter.enter(0.0, 10.0).state for _ in range(3)] == [ADMITTED, QUEUED, SHED]


def _serve(limiter: Limiter, capacity: int, seconds: float, rate: float, seed: int = 7) -> float:
    """Drive *limiter* before a store that slows down in proportion above *capacity*; return the mean in flight."""
    draw = random.Random(seed)
    now, arrivals, area, last = 0.0, 0.0, 0.0, 0.0
    ends: list[tuple[float, int, Ticket]] = []
    number = 0

    def begin(ticket: Ticket) -> None:
        nonlocal number
        number += 1
        slowdown = max(1.0, limiter.in_flight / capacity) ** 2
        heapq.heappush(ends, (now + 0.05 * slowdown, number, ticket))

    while now < seconds:
        if ends and ends[0][0] <= arrivals:
            now, _, ticket = heapq.heappop(ends)
            for changed in limiter.leave(ticket, now):
                if changed.state is ADMITTED:
                    begin(changed)
        else:
            now = arrivals
            arrivals += draw.expovariate(rate)
            ticket = limiter.enter(now, now + 0.5)
            if ticket.state is ADMITTED:
                begin(ticket)
        area, last = area + limiter.in_flight * (now - last), now
    return area / now


def test_it_finds_what_a_store_bears() -> None:
    limiter = Limiter(LimiterOptions(start=10, most=200))
    in_flight = _serve(limiter, capacity=30, seconds=150.0, rate=2000.0)
    # Calls take twice their time at 42 at once, which is the tolerance; without the probes it drifts to the most.
    assert 30 <= in_flight <= 50


def test_it_never_exceeds_the_most() -> None:
    limiter = Limiter(LimiterOptions(start=10, most=20))
    _serve(limiter, capacity=1000, seconds=20.0, rate=2000.0)
    assert limiter.limit == 20


def test_a_fast_store_whose_times_vary_is_not_taken_for_overloaded() -> None:
    """Half a millisecond once, five as a rule: a limit judged by single calls fell to the least and stayed there."""
    draw, limiter = random.Random(1), Limiter(LimiterOptions(start=10, most=20))
    now = 0.0
    for _ in range(2000):
        tickets = [limiter.enter(now, now + 1.0) for _ in range(20)]
        for ticket in tickets:
            if ticket.state is ADMITTED:
                now += draw.choice([0.0005, 0.002, 0.005, 0.008]) / 10
                limiter.leave(ticket, ticket.started + draw.choice([0.0005, 0.002, 0.005, 0.015]))
        for ticket in tickets:
            if ticket.state in (ADMITTED, QUEUED):
                limiter.leave(ticket, now)
    assert limiter.limit > 15


def test_failures_shrink_it_once_a_round_down_to_the_least() -> None:
    limiter = Limiter(LimiterOptions(start=10, least=3))
    limiter.leave(limiter.enter(0.0, 9.0), 1.0)
    tickets = [limiter.enter(1.0, 99.0) for _ in range(10)]
    for ticket in tickets:
        limiter.leave(ticket, 2.0, failed=True)
    assert limiter.limit == pytest.approx(9.0)
    for second in range(100):
        limiter.leave(limiter.enter(3.0 + second, 999.0), 4.0 + second, failed=True)
    assert limiter.limit == 3.0


def test_a_limit_that_is_not_reached_does_not_grow() -> None:
    limiter = Limiter(LimiterOptions(start=10))
    for second in range(100):
        limiter.leave(limiter.enter(float(second), 999.0), second + 0.1)
    assert limiter.limit == 10.0


@given(st.lists(st.tuples(st.sampled_from(["enter", "leave", "fail"]), st.integers(0, 20)), max_size=200))
def test_in_flight_is_what_was_admitted_and_not_ended(steps: list[tuple[str, int]]) -> None:
    limiter = Limiter(LimiterOptions(start=3, most=5, queue=4))
    tickets: list[Ticket] = []
    now = 0.0
    for step, pick in steps:
        now += 0.1
        if step == "enter":
            tickets.append(limiter.enter(now, now + pick / 10))
        elif tickets:
            ticket = tickets[pick % len(tickets)]
            if ticket.state in (ADMITTED, QUEUED):
                limiter.leave(ticket, now, failed=step == "fail")
        admitted = sum(ticket.state is ADMITTED for ticket in tickets)
        assert limiter.in_flight == admitted <= 5
        assert limiter.waiting == sum(ticket.state is QUEUED for ticket in tickets) <= 4
        # Nobody waits while there is room.
        assert not limiter.waiting or limiter.in_flight >= int(limiter.limit)


@pytest.mark.parametrize("wrong", [{"least": 0}, {"start": 51}, {"tolerance": 1.0}, {"queue": -1}])
def test_wrong_options_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        LimiterOptions(**wrong)  # type: ignore[arg-type]
