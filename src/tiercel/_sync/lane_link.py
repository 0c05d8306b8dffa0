# Generated from src/tiercel/_async/lane_link.py by tools/unasync.py. Do not edit.
"""
The link to Redis on lanes: it routes each command, follows redirects and tries again, inside the caller's budget.

A command is sent again only where that is safe: the server said that it was not carried out (MOVED, ASK, TRYAGAIN,
LOADING, BUSY, CLUSTERDOWN, READONLY), it was never sent, or carrying it out twice changes nothing. Tries are paced by a
back-off and paid from a retry budget, redirects excepted: those are answers, not failures.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Callable, Sequence
from typing import Any

from tiercel._sync.lane_node import Node
from tiercel._sync.lane_topology import Topology
from tiercel._core.backoff import Backoff
from tiercel._core.linkoptions import LinkHealth, LinkOptions
from tiercel._core.resp import Command, Reaction, Redirect, Word, is_repeatable, reaction
from tiercel._core.retrybudget import RetryBudget
from tiercel._paired import gather, sleep
from tiercel.errors import ReplyError, TierError, TierUnavailable
from tiercel.scripts import Script

__all__ = ["LaneLink"]

# A blocking command's reply may come this much later than the server was asked to wait.
_BLOCKING_SLACK_S = 1.0


class LaneLink:
    """
    An `Link` over a topology of lanes.

    Args:
        topology: The servers.
        options: Timeouts and bounds.
    """

    def __init__(self, topology: Topology, options: LinkOptions) -> None:
        self.on_reconnect: list[Callable[[str], None]] = []
        self._topology = topology
        self._options = options
        self._backoff = Backoff(options.reconnect_base_s, options.reconnect_max_s)
        self._budget = RetryBudget(options.retry_share)

    def connect(self, timeout_s: float) -> None:
        """Learn the topology and say PING to one server; raises `TierError`."""
        deadline = self._deadline(timeout_s)
        self._topology.refresh(deadline)
        self._topology.node_for((b"PING",)).lane.ask((b"PING",), deadline)

    def execute(self, *command: Word, timeout_s: float | None = None) -> Any:
        started, deadline = self._span(timeout_s)
        node = None
        try:
            node = self._topology.node_for(command)
            if not node.breaker.is_closed:
                node.admit(started)
            return node.lane.execute(command, started, deadline)
        except TierError as error:
            if node is not None:
                node.failed(error)
            return self._again(command, is_repeatable(command), error, node, deadline)

    def get(self, key: bytes, timeout_s: float | None = None) -> Any:
        # As `execute`, with everything between the caller and the lane left out that a plain read can do without.
        started, deadline = self._span(timeout_s)
        node = None
        try:
            node = self._topology.node_of(key)
            if not node.breaker.is_closed:
                node.admit(started)
            return node.lane.get(key, started, deadline)
        except TierError as error:
            if node is not None:
                node.failed(error)
            return self._again((b"GET", key), True, error, node, deadline)

    def get_many(self, keys: Sequence[bytes], timeout_s: float | None = None) -> list[Any]:
        if self._topology.is_whole and keys:
            replies: list[Any] = self.execute(b"MGET", *keys, timeout_s=timeout_s)
            return replies
        replies = self.execute_many([(b"GET", key) for key in keys], timeout_s=timeout_s)
        for reply in replies:
            if isinstance(reply, TierError):
                raise reply
        return replies

    def execute_many(self, commands: Sequence[Command], *, timeout_s: float | None = None) -> list[Any]:
        return self._many(commands, is_repeatable, self._deadline(timeout_s))

    def script(
        self, script: Script, keys: Sequence[bytes], args: Sequence[Word], *, timeout_s: float | None = None
    ) -> Any:
        replies = self._scripts(script, [(keys, args)], self._deadline(timeout_s))
        if isinstance(replies[0], Exception):
            raise replies[0]
        return replies[0]

    def script_many(
        self,
        script: Script,
        calls: Sequence[tuple[Sequence[bytes], Sequence[Word]]],
        *,
        timeout_s: float | None = None,
    ) -> list[Any]:
        return self._scripts(script, calls, self._deadline(timeout_s))

    def together(self, commands: Sequence[Command], *, timeout_s: float | None = None) -> list[Any]:
        deadline = self._deadline(timeout_s)
        node = self._topology.node_for(commands[0])
        replies = node.execute_many(commands, deadline)
        if isinstance(replies[0], ReplyError) and replies[0].code == "MOVED":
            node = self._topology.follow(Redirect.parse(str(replies[0]), _host(node)))
            replies = node.execute_many(commands, deadline)
        return replies

    def blocking(self, *command: Word, timeout_s: float) -> Any:
        node = self._topology.node_for(command)
        return node.blocking(command, time.monotonic() + timeout_s + _BLOCKING_SLACK_S)

    def scan(self, pattern: bytes, count: int = 1000) -> Iterator[list[bytes]]:
        for node in self._topology.primaries():
            cursor: Word = b"0"
            while True:
                command = (b"SCAN", cursor, b"MATCH", pattern, b"COUNT", count)
                cursor, keys = self._on_node(node, command, self._deadline(None))
                yield keys
                if cursor == b"0":
                    break

    def scan_step(self, node: str, cursor: bytes, pattern: bytes, count: int) -> tuple[bytes, list[bytes]]:
        for primary in self._topology.primaries():
            if primary.name == node:
                command = (b"SCAN", cursor, b"MATCH", pattern, b"COUNT", count)
                after, keys = self._on_node(primary, command, self._deadline(None))
                return bytes(after), keys
        raise TierUnavailable(f"{node} is no primary any more", tier="redis")

    def each_primary(self, *command: Word) -> dict[str, Any]:
        deadline = self._deadline(None)
        nodes = self._topology.primaries()
        replies = gather(*[self._on_node(node, command, deadline) for node in nodes])
        return {node.name: reply for node, reply in zip(nodes, replies, strict=True)}

    def health(self) -> LinkHealth:
        nodes = {node.name: node.health() for node in self._topology.nodes()}
        return LinkHealth(topology=self._topology.kind, nodes=nodes, coverage=self._topology.coverage)

    def close(self) -> None:
        self._topology.close()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _span(self, timeout_s: float | None) -> tuple[float, float]:
        """Return when a call begins, which is counted, and when it must have ended."""
        self._budget.calls += 1
        now = time.monotonic()
        return now, now + (self._options.command_timeout_s if timeout_s is None else timeout_s)

    def _deadline(self, timeout_s: float | None) -> float:
        return time.monotonic() + (self._options.command_timeout_s if timeout_s is None else timeout_s)

    def _on_node(self, node: Node, command: Command, deadline: float) -> Any:
        """Send *command* to *node* and nowhere else, once more where the connection turns out to be gone."""
        try:
            return node.execute(command, deadline)
        except TierError as error:
            if reaction(error, is_repeatable(command)) not in (Reaction.WAIT, Reaction.REFRESH):
                raise
            if not self._pause(1, deadline):
                raise
            return node.execute(command, deadline)

    def _again(
        self, command: Command, repeatable: bool, error: TierError, node: Node | None, deadline: float
    ) -> Any:
        """Try *command* again after *error* until it is answered, hopeless, or out of time."""
        for attempt in range(1, self._options.max_tries):
            step = reaction(error, repeatable)
            if step is Reaction.RAISE:
                break
            if step in (Reaction.WAIT, Reaction.REFRESH) and not self._pause(attempt, deadline):
                break
            try:
                if step is Reaction.ASK:
                    node = self._topology.node_at(Redirect.parse(str(error), _host(node)).address)
                    return _ask(node, command, deadline)
                if step is Reaction.FOLLOW:
                    node = self._topology.follow(Redirect.parse(str(error), _host(node)))
                else:
                    if step is Reaction.REFRESH:
                        self._topology.refresh(deadline)
                    node = self._topology.node_for(command)
                return node.execute(command, deadline)
            except TierError as failure:
                error = failure
        if not isinstance(error, ReplyError):  # a node that stopped answering may have been replaced
            self._topology.refresh_soon()
        raise error

    def _pause(self, attempt: int, deadline: float) -> bool:
        """Pay for a retry and wait for its moment; False where the budget or the time does not suffice."""
        now = time.monotonic()
        pause_s = self._backoff.pause_s(attempt, random.random())
        if now + pause_s >= deadline or not self._budget.take(now):
            return False
        sleep(pause_s)
        return True

    def _many(
        self, commands: Sequence[Command], repeats: Callable[[Command], bool], deadline: float
    ) -> list[Any]:
        """Send *commands* grouped by node, one write each; a failure is an exception object in its place."""
        self._budget.calls += len(commands)
        replies: list[Any] = [None] * len(commands)
        homes: list[Node | None] = [None] * len(commands)
        groups: dict[Node, list[int]] = {}
        for index, command in enumerate(commands):
            try:
                homes[index] = node = self._topology.node_for(command)
                groups.setdefault(node, []).append(index)
            except TierError as error:
                replies[index] = error
        answers = gather(
            *[_group(node, [commands[at] for at in indices], deadline) for node, indices in groups.items()]
        )
        for indices, group in zip(groups.values(), answers, strict=True):
            for index, answer in zip(indices, group, strict=True):
                replies[index] = answer
        failed = [index for index, reply in enumerate(replies) if isinstance(reply, TierError)]
        settled = gather(
            *[self._settle(commands[at], repeats(commands[at]), replies[at], homes[at], deadline) for at in failed]
        )
        for index, answer in zip(failed, settled, strict=True):
            replies[index] = answer
        return replies

    def _settle(
        self, command: Command, repeatable: bool, error: TierError, node: Node | None, deadline: float
    ) -> Any:
        """Try *command* again as `_again` does; an error is returned, not raised."""
        try:
            return self._again(command, repeatable, error, node, deadline)
        except TierError as failure:
            return failure

    def _scripts(
        self, script: Script, calls: Sequence[tuple[Sequence[bytes], Sequence[Word]]], deadline: float
    ) -> list[Any]:
        """Run *script* by its hash; where a server does not know it, by its source, which makes it known."""
        commands = [(b"EVALSHA", script.sha, len(keys), *keys, *args) for keys, args in calls]
        replies = self._many(commands, lambda _: script.is_repeatable, deadline)
        unknown = [at for at, reply in enumerate(replies) if isinstance(reply, ReplyError) and reply.code == "NOSCRIPT"]
        if unknown:
            sources = [(b"EVAL", script.source, *commands[at][2:]) for at in unknown]
            answers = self._many(sources, lambda _: script.is_repeatable, deadline)
            for at, answer in zip(unknown, answers, strict=True):
                replies[at] = answer
        return replies


def _group(node: Node, commands: Sequence[Command], deadline: float) -> list[Any]:
    """Send one node's share; where all of it failed together, the error stands in every place."""
    try:
        return node.execute_many(commands, deadline)
    except TierError as error:
        return [error] * len(commands)


def _ask(node: Node, command: Command, deadline: float) -> Any:
    """Send ASKING and *command* in one write on one connection: the permission holds for the next command there."""
    _, reply = node.execute_many([(b"ASKING",), command], deadline)
    if isinstance(reply, ReplyError):
        raise reply
    return reply


def _host(node: Node | None) -> str:
    return node.host if node is not None else ""
