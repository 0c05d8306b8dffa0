"""
A load that lands at the moment its caller's time runs out is the caller's answer.

It was a bare `TimeoutError`: the caller found the flight landed, took the timeout for the loader's own error and let it
through, as happened on overloaded nodes.
"""

from __future__ import annotations

import concurrent.futures
from unittest import mock

import pytest

from tiercel._flights import Flight, async_follow, follow


async def test_the_answer_counts() -> None:
    flight = Flight("k")
    flight.future.set_result("answer")
    with mock.patch("asyncio.wait_for", side_effect=TimeoutError):
        assert await async_follow(flight, 0.1) == "answer"


async def test_the_loaders_own_timeout_passes_through() -> None:
    flight = Flight("k")
    own = TimeoutError("the database's")
    flight.future.set_exception(own)
    with pytest.raises(TimeoutError) as caught:
        await async_follow(flight, 0.1)
    assert caught.value is own


def test_the_answer_counts_for_threads() -> None:
    flight = Flight("k")
    late = mock.Mock(wraps=flight.future)
    late.result = mock.Mock(side_effect=[concurrent.futures.TimeoutError(), "answer"])
    late.done.return_value = True
    flight.future = late
    assert follow(flight, 0.1) == "answer"
