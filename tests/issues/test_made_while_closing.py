"""
What is made while its owner closes is closed too.

A connection that a thread was just making outlived its lane; a listener that reconnected after the cache was closed
ended with an error from the closed journal; a proxy leaked what it accepted in the moment in which it stopped.
"""

from __future__ import annotations

import gc
import socket
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.rig.redis import RedisServer
from tiercel._async.redelivery import AsyncRedelivery
from tiercel._core.clock import ManualClock
from tiercel._core.keys import KeySpace
from tiercel._core.undelivered import Undelivered
from tiercel._lanes.thread_lane import Lane
from tiercel._sync.link import open_link
from tiercel._unsettled import Unsettled
from tiercel.errors import ClosedError
from tiercel.observe.recorder import Recorder
from tiercel.testing import FaultProxy


@pytest.mark.parametrize("blocks", [False, True], ids=["shared", "dedicated"])
def test_a_connection_made_while_its_lane_closes(redis_server: RedisServer, blocks: bool) -> None:
    link: Any = open_link(redis_server.url)
    lane: Lane = link._topology.node_for((b"PING",)).lane
    made: list[Any] = []
    open_wire = lane._open_wire

    def slowly(deadline: float) -> Any:
        wire = open_wire(deadline)
        lane.close()
        made.append(wire)
        return wire

    if lane._wire is not None:
        lane._wire.close()
    with mock.patch.object(lane, "_open_wire", slowly), pytest.raises(ClosedError):
        (lane.blocking if blocks else lane.ask)((b"PING",), time.monotonic() + 5.0)
    assert [wire.is_alive for wire in made] == [False]
    link.close()


async def test_what_cannot_be_repeated_is_told_and_fails_nobody() -> None:
    recorder, tier = Recorder(), mock.Mock()
    tier.name = "redis"
    redelivery = AsyncRedelivery(tier, KeySpace("test"), None, ManualClock(), recorder, Unsettled())
    redelivery._recent.append((redelivery._clock.monotonic(), Undelivered("keys", names=(b"n",))))
    redelivery._file.close()
    redelivery.repeat_recent()
    assert [event.name for event in recorder.events()] == ["repeat_failed"]
    assert len(redelivery._recent) == 1, "it is repeated after the next connection"


def test_what_a_proxy_accepts_while_it_stops(redis_server: RedisServer, tmp_path: Path) -> None:
    for _ in range(30):
        with FaultProxy(redis_server.port) as proxy:
            clients = [socket.socket() for _ in range(8)]
            for client in clients:
                client.setblocking(False)
                client.connect_ex(("127.0.0.1", proxy.port))
            proxy.stop()
        for client in clients:
            client.close()
    gc.collect()  # a socket that nobody closed fails the test here
