"""
Settings of a link to Redis, and the figures that it reports about each node.

Durations are seconds, sizes are bytes. Everything is frozen: a report is a snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tiercel._core.breaker import BreakerOptions
from tiercel.options import require

__all__ = ["LinkHealth", "LinkOptions", "NodeHealth"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOptions:
    """
    How a link connects, waits and gives up.

    Args:
        connect_timeout_s: How long `open_link` tries to reach the server; also the budget of one reconnect.
        command_timeout_s: Budget of a command for which the caller names none, retries and redirects included.
        stall_timeout_s: A connection that owes replies and has sent nothing for this long is given up.
        spin_s: How long an event loop with nothing else to do looks for the reply to a lone command before it waits:
            a reply from a near server comes sooner than a process sleeps and wakes. 0 for not at all.
        max_in_flight: Most commands whose replies a node owes; more callers wait, within their budget.
        reconnect_base_s: Pause after the first failed connection attempt; doubles with jitter.
        reconnect_max_s: Longest pause between connection attempts, and between tries of a command.
        max_tries: Most times that one command is sent, redirects included.
        retry_share: Retries per call, over time; see `RetryBudget`.
        refresh_interval_s: Least time between two unforced look-ups of the topology.
        breaker: When a node's breaker opens.
    """

    connect_timeout_s: float = 5.0
    command_timeout_s: float = 1.0
    stall_timeout_s: float = 5.0
    spin_s: float = 0.00005
    max_in_flight: int = 10_000
    reconnect_base_s: float = 0.02
    reconnect_max_s: float = 1.0
    max_tries: int = 16
    retry_share: float = 0.1
    refresh_interval_s: float = 0.1
    breaker: BreakerOptions = field(default_factory=BreakerOptions)

    def __post_init__(self) -> None:
        for name in (
            "connect_timeout_s",
            "command_timeout_s",
            "stall_timeout_s",
            "reconnect_base_s",
            "refresh_interval_s",
        ):
            require(getattr(self, name) > 0, f"{name}={getattr(self, name)}: must be greater than 0")
        require(0 <= self.spin_s <= 0.001, f"spin_s={self.spin_s}: must lie in [0, 0.001]")
        for name in ("max_in_flight", "max_tries"):
            require(getattr(self, name) >= 1, f"{name}={getattr(self, name)}: must be at least 1")
        require(
            self.reconnect_max_s >= self.reconnect_base_s,
            f"reconnect_max_s={self.reconnect_max_s} is below reconnect_base_s={self.reconnect_base_s}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHealth:
    """
    One node as the link sees it.

    Args:
        name: ``host:port``, or the socket's path.
        role: ``primary`` or ``replica``, as the topology says.
        is_connected: At least one connection stands.
        breaker: ``closed``, ``open`` or ``half-open``.
        breaker_opened: How often the breaker opened.
        connections: Open connections, dedicated ones included.
        in_flight: Commands whose replies are owed.
        reconnects: Connections made after the first.
        commands: Commands sent.
        errors: Commands that failed through the node's or the network's fault.
        latency_s: Moving average of the time to a reply.
        version: The server's own words, for example ``redis 7.0.15``; empty before the first connection.
        last_error: The last failure, or an empty string.
    """

    name: str
    role: str
    is_connected: bool
    breaker: str
    breaker_opened: int
    connections: int
    in_flight: int
    reconnects: int
    commands: int
    errors: int
    latency_s: float
    version: str
    last_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkHealth:
    """
    A link's state.

    Args:
        topology: ``standalone``, ``cluster`` or ``sentinel``.
        nodes: Every node that the link knows, by name.
        coverage: Part of the key space that some node serves; 1 outside a cluster.
    """

    topology: str
    nodes: dict[str, NodeHealth]
    coverage: float

    @property
    def is_healthy(self) -> bool:
        """Every primary is connected with its breaker closed, and the key space is covered."""
        return self.coverage == 1 and all(
            node.is_connected and node.breaker == "closed" for node in self.nodes.values() if node.role == "primary"
        )
