"""
A TCP proxy on loopback that fails on cue, as a network or a frozen server does.

========  ============================================================================================================
start     listen and forward
stop      refuse connections and cut those that stand
deaf      keep connections open and forward nothing; what was held back arrives after `heal`, as from a frozen server
slow      add latency to every byte that comes back; throughput stays
reset     cut the connections that stand with a reset, half-way through replies too; new ones work
heal      forward again, at once
========  ============================================================================================================

It runs on an event loop of its own in a thread of its own, so that blocking and asyncio code use it alike and a busy
test does not slow it. Methods may be called from any thread; each returns once the fault is in force.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

__all__ = ["FaultProxy"]

T = TypeVar("T")

LOOPBACK = "127.0.0.1"
CHUNK_BYTES = 64 * 1024
PATIENCE_S = 10.0


class FaultProxy:
    """
    A proxy in front of ``host:port``.

    Args:
        port: The server's port.
        host: The server's host.

    Use it as a context manager, or call `start` and `close`. `port` is where clients connect; it stays the same.
    """

    def __init__(self, port: int, host: str = LOOPBACK) -> None:
        self.port = 0
        self.accepted = 0
        """Connections accepted so far."""
        self._upstream = (host, port)
        self._listener: socket.socket | None = None
        self._relays: set[_Relay] = set()
        self._latency_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._open_gate = asyncio.Event()
        self._open_gate.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._thread.start()

    def start(self) -> None:
        """Listen, on the same port as before a `stop`; harmless where it listens already."""
        self._run(self._start())

    def stop(self) -> None:
        """Refuse connections, and cut those that stand."""
        self._run(self._stop())

    def deaf(self) -> None:
        """Forward nothing in either direction, until `heal`; connections are accepted and stand."""
        self._call(self._open_gate.clear)

    def slow(self, latency_s: float) -> None:
        """Deliver every byte of the server *latency_s* seconds late."""
        self._call(lambda: setattr(self, "_latency_s", latency_s))

    def reset(self) -> None:
        """Cut the connections that stand with a TCP reset."""
        self._call(self._cut)

    def heal(self) -> None:
        """Listen and forward at once again."""
        self.slow(0.0)
        self._call(self._open_gate.set)
        self.start()

    def close(self) -> None:
        """Cut everything and end the thread; calling twice is harmless."""
        if self._loop.is_closed():
            return
        self.stop()
        self._run(self._last_turns())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    def _call(self, function: Callable[[], None]) -> None:
        async def call() -> None:
            function()

        self._run(call())

    async def _start(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server((LOOPBACK, self.port), backlog=1024)
            self._listener.setblocking(False)
            self.port = self._listener.getsockname()[1]
            self._loop.add_reader(self._listener, self._accept, self._listener)

    async def _stop(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        ending = [relay.task for relay in self._relays]
        self._cut()
        if ending:
            await asyncio.wait(ending)

    async def _last_turns(self) -> None:
        """Let the sockets close: a transport that was aborted does so in the loop's next turn."""
        for _ in range(3):
            await asyncio.sleep(0)

    def _cut(self) -> None:
        for relay in list(self._relays):
            relay.cut()

    def _accept(self, listener: socket.socket) -> None:
        """Accept by hand: a server of asyncio leaks what it accepts in the very moment in which it is closed."""
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):  # the client has gone already
            client, _ = listener.accept()
            client.setblocking(False)
            self.accepted += 1
            relay = _Relay(client, self._open_gate, lambda: self._latency_s)
            self._relays.add(relay)
            relay.start(self._upstream, self._relays.discard)


class _Relay:
    """One client's connection and the server's, with a pump each way."""

    def __init__(
        self,
        client: socket.socket,
        gate: asyncio.Event,
        latency_s: Callable[[], float],
    ) -> None:
        self._client = client
        self._writers: list[asyncio.StreamWriter] = []
        self._gate = gate
        self._latency_s = latency_s
        self.task: asyncio.Task[None]

    def start(self, upstream: tuple[str, int], ended: Callable[[_Relay], None]) -> None:
        """Forward in a task of its own; *ended* is called after it."""

        def end(_: asyncio.Task[None]) -> None:
            self._client.close()  # closed by its stream already, unless the task was cancelled before it had one
            ended(self)

        self.task = asyncio.create_task(self._run(upstream))
        self.task.add_done_callback(end)

    def cut(self) -> None:
        """End it with a reset to the client."""
        with contextlib.suppress(OSError):  # it may be closed already
            self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for writer in self._writers:
            writer.transport.abort()
        self.task.cancel()

    async def _run(self, upstream: tuple[str, int]) -> None:
        """Forward until one side closes."""
        try:
            from_client, to_client = await asyncio.open_connection(sock=self._client)
            self._writers.append(to_client)
            from_server, to_server = await asyncio.open_connection(*upstream)
            self._writers.append(to_server)
            pumps = [self._pump(from_client, to_server), self._pump_late(from_server, to_client)]
            async with asyncio.TaskGroup() as group:
                for pump in pumps:
                    group.create_task(pump)
        except (OSError, asyncio.CancelledError):
            pass  # a side is gone, or a fault cut the connection: what a proxy is for, and the other side is told below
        except ExceptionGroup as failures:
            # The pumps end each other by a ConnectionError, which is the same; anything else is a mistake.
            if failures.split(OSError)[1] is not None:
                raise
        finally:
            for end in self._writers:
                end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while received := await reader.read(CHUNK_BYTES):
            await self._gate.wait()
            writer.write(received)
            await writer.drain()
        raise ConnectionResetError("closed by the client")

    async def _pump_late(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        due = 0.0
        while received := await reader.read(CHUNK_BYTES):
            await self._gate.wait()
            latency_s = self._latency_s()
            # Never before what was read earlier, whatever the latency became in between.
            due = max(loop.time() + latency_s, due + 1e-6)
            if latency_s == 0 and due <= loop.time() + 1e-4:
                writer.write(received)
            else:
                loop.call_at(due, writer.write, received)
        raise ConnectionResetError("closed by the server")
