# Generated from src/tiercel/_async/lane_node.py by tools/unasync.py. Do not edit.
"""
One Redis server as the link sees it: its lane, its breaker and its figures.

A call goes through the breaker, then the lane. What it ended with, and how long it took, is what the breaker learns
from: the lane tells of replies to single commands as they come, the caller of what failed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from tiercel._core.breaker import Breaker
from tiercel._core.linkoptions import LinkOptions, NodeHealth
from tiercel._core.resp import Command, NodeRefused, is_node_fault
from tiercel._lanes import Lane
from tiercel._lanes.session import Endpoint
from tiercel.errors import ReplyError, TierError

__all__ = ["Node"]

# Weight of the newest call in the moving average of the latency.
_NEWEST = 0.05


class Node:
    """
    One server.

    Args:
        endpoint: Which server, and how to sign in.
        options: Timeouts and bounds.
        on_reconnect: Called with the server's name after each connection but the first.
    """

    def __init__(self, endpoint: Endpoint, options: LinkOptions, on_reconnect: Callable[[str], None]) -> None:
        self.name = endpoint.address.name
        self.host = endpoint.address.host
        self.lane = Lane(endpoint, options, on_reconnect, self._answered)
        self.breaker = Breaker(options.breaker)
        self.role = "primary"
        self._commands = 0
        self._errors = 0
        self._latency_s = 0.0
        self._last_error = ""
        self._last_cause: BaseException | None = None

    def execute(self, command: Command, deadline: float) -> Any:
        """Send *command*; raises as `Lane.execute`, or `NodeRefused` where the breaker is open."""
        started = time.monotonic()
        try:
            self.admit(started)
            return self.lane.execute(command, started, deadline)
        except TierError as error:
            self.failed(error)
            raise

    def admit(self, now: float) -> None:
        """Raise `NodeRefused` where the breaker is open at *now*; to be called before `lane` is used directly."""
        if not (self.breaker.is_closed or self.breaker.allows(now)):
            raise NodeRefused(f"{self.name}: breaker open after: {self._last_error or 'slow calls'}", tier="redis")

    def execute_many(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """Send *commands* in one write; error replies are objects in the list. Raises as `execute` where all failed."""
        started = time.monotonic()
        try:
            self.admit(started)
            replies = self.lane.execute_many(commands, started, deadline)
        except TierError as error:
            self.failed(error, len(commands))
            raise
        fault = next((reply for reply in replies if type(reply) is ReplyError and is_node_fault(reply)), None)
        if fault is None:
            self._ended(started, len(commands))
        else:
            self.failed(fault, len(commands))
        return replies

    def blocking(self, command: Command, deadline: float) -> Any:
        """Run a command that may wait at the server, on a connection of its own; the breaker takes no part."""
        return self.lane.blocking(command, deadline)

    def health(self) -> NodeHealth:
        """Return a snapshot of the figures."""
        lane = self.lane
        return NodeHealth(
            name=self.name,
            role=self.role,
            is_connected=lane.connections > 0,
            breaker=self.breaker.state(time.monotonic()).value,
            breaker_opened=self.breaker.opened_count,
            connections=lane.connections,
            in_flight=lane.in_flight,
            reconnects=lane.reconnects,
            commands=self._commands,
            errors=self._errors,
            latency_s=self._latency_s,
            version=lane.version,
            last_error=self._last_error,
        )

    def close(self) -> None:
        """Close the connections; calls in flight fail."""
        self.lane.close()

    def failed(self, error: TierError, commands: int = 1) -> None:
        """Learn that *commands* ended with *error*; nothing where it does not speak against the node."""
        if not is_node_fault(error):
            return
        self._commands += commands
        self._errors += commands
        self._last_error = str(error)
        # A lost connection ends every call that shared it: that is one event, however many calls it ended.
        cause = error.__cause__
        if cause is None or cause is not self._last_cause:
            self.breaker.failed(time.monotonic())
        self._last_cause = cause

    def _answered(self, good: int, slow: int, took_s: float, now: float) -> None:
        self._commands += good + slow
        self._latency_s += (took_s - self._latency_s) * _NEWEST
        for _ in range(slow):
            self.breaker.failed(now)
        if good:
            self.breaker.answered(good)

    def _ended(self, started: float, commands: int) -> None:
        now = time.monotonic()
        self._commands += commands
        self._latency_s += (now - started - self._latency_s) * _NEWEST
        self.breaker.ended(now, now - started)
