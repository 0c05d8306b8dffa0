"""
Connections to an origin server: HTTP/1.1 spoken through h11, pooled, one exchange at a time on each.

A connection is used again only after both sides have said all they had to and not a byte more: surplus bytes after an
answer would be read as the answer to somebody else's next question. Needs h11 (``pip install tiercel[service]``).
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tiercel.errors import ConfigurationError
from tiercel.http.relay import OriginFailure
from tiercel.http.rules.headers import RawHeaders

if TYPE_CHECKING:
    import h11

__all__ = ["OriginConnection", "OriginPool", "OriginRequest"]

_MAX_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class OriginRequest:
    """What goes to the origin; *content* is None where there is none, else its pieces."""

    method: str
    target: bytes
    headers: RawHeaders
    content: AsyncIterator[bytes] | None


class OriginConnection(asyncio.Protocol):
    """One connection; *timeout_s* bounds each wait for the other side."""

    def __init__(self, h11_module: ModuleType, timeout_s: float) -> None:
        self._h11 = h11_module
        self._machine: h11.Connection = h11_module.Connection(
            h11_module.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES
        )
        self._timeout_s = timeout_s
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._is_idle = True
        self.is_lost = False
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; nothing is read before something was asked."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Take what arrived, and no more until it is used."""
        if self._is_idle:
            self.close()  # an answer that nobody asked for
            return
        self._machine.receive_data(data)
        self._transport.pause_reading()
        self._arrived.set()

    def connection_lost(self, error: Exception | None) -> None:
        """Wake whoever waits."""
        if not self.is_lost and not self._is_idle:
            self._machine.receive_data(b"")
        self.is_lost = True
        self._arrived.set()
        self._writable.set()

    def pause_writing(self) -> None:
        """Hold back content: the other side reads slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let content flow again."""
        self._writable.set()

    async def ask(self, request: OriginRequest) -> h11.Response:
        """Send *request* and return the head of the answer; interim answers are dropped."""
        self._is_idle = False
        asked = self._h11.Request(method=request.method, target=request.target, headers=request.headers)
        self._write(self._machine.send(asked))
        if request.content is not None:
            async for chunk in request.content:
                self._write(self._machine.send(self._h11.Data(data=chunk)))
                async with asyncio.timeout(self._timeout_s):
                    await self._writable.wait()
        self._write(self._machine.send(self._h11.EndOfMessage()))
        while True:
            head: h11.Response | h11.InformationalResponse = await self._event()
            if head.status_code >= 600:
                raise self._h11.RemoteProtocolError("no status of HTTP")
            if head.status_code >= 200:
                return head  # type: ignore[return-value]  # final by its status

    async def content(self) -> AsyncIterator[bytes]:
        """Yield the content of the answer piece by piece."""
        while True:
            event = await self._event()
            if isinstance(event, self._h11.EndOfMessage):
                return
            if not isinstance(event, self._h11.Data):
                raise self._h11.RemoteProtocolError("content broke off")
            yield bytes(event.data)

    def rest(self, now: float) -> bool:
        """Make ready for the next exchange; False where the connection cannot serve another."""
        machine, done = self._machine, self._h11.DONE
        if self.is_lost or machine.our_state is not done or machine.their_state is not done:
            return False
        if machine.trailing_data[0]:
            return False
        machine.start_next_cycle()
        self._is_idle = True
        self.idle_since = now
        self._transport.resume_reading()  # to notice when the other side closes
        return True

    def close(self) -> None:
        """Close at once."""
        self.is_lost = True
        self._transport.close()

    def _write(self, data: bytes | None) -> None:
        if data:
            self._transport.write(data)

    async def _event(self) -> Any:
        """Return the other side's next event; a connection that ends is an error, whatever was awaited."""
        while True:
            event = self._machine.next_event()
            if isinstance(event, self._h11.ConnectionClosed):
                raise self._h11.RemoteProtocolError("the connection was closed")
            if event is not self._h11.NEED_DATA:
                return event
            if self.is_lost:
                raise self._h11.RemoteProtocolError("the connection was closed")
            self._arrived.clear()
            self._transport.resume_reading()
            async with asyncio.timeout(self._timeout_s):
                await self._arrived.wait()


class OriginPool:
    """
    The connections to one origin, on one event loop.

    Args:
        host: Name or address.
        port: TCP port.
        tls: Whether to speak TLS, with the system's trusted authorities.
        timeout_s: Longest wait for a connection and for each piece of an answer.
        max_connections: Most connections at once; more requests wait.
        keepalive_s: How long an idle connection is kept.
    """

    def __init__(
        self, host: str, port: int, *, tls: bool, timeout_s: float, max_connections: int, keepalive_s: float
    ) -> None:
        self._h11 = _import_h11()
        self._host = host
        self._port = port
        self._ssl = ssl.create_default_context() if tls else None
        self._timeout_s = timeout_s
        self._keepalive_s = keepalive_s
        self._free = asyncio.Semaphore(max_connections)
        self._idle: deque[OriginConnection] = deque()

    async def aclose(self) -> None:
        """Close every idle connection."""
        while self._idle:
            self._idle.pop().close()

    async def exchange(self, request: OriginRequest) -> AsyncIterator[h11.Response | bytes]:
        """
        Send *request*; yield the head of the answer, then its content piece by piece.

        Raises:
            OriginFailure: There is no whole answer.
        """
        async with self._free:
            connection: OriginConnection | None = None
            try:
                connection = await self._connection()
                yield await connection.ask(request)
                async for chunk in connection.content():
                    yield chunk
            except TimeoutError as error:
                raise OriginFailure("the origin is too slow", 504) from error
            except (OSError, self._h11.ProtocolError) as error:
                raise OriginFailure("the origin failed") from error
            finally:
                if connection is not None:
                    self._give_back(connection)

    async def _connection(self) -> OriginConnection:
        loop = asyncio.get_running_loop()
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_lost and loop.time() - connection.idle_since < self._keepalive_s:
                return connection
            connection.close()
        async with asyncio.timeout(self._timeout_s):
            _, connection = await loop.create_connection(
                lambda: OriginConnection(self._h11, self._timeout_s), self._host, self._port, ssl=self._ssl
            )
        return connection

    def _give_back(self, connection: OriginConnection) -> None:
        if connection.rest(asyncio.get_running_loop().time()):
            self._idle.append(connection)
        else:
            connection.close()


def _import_h11() -> ModuleType:
    try:
        import h11
    except ImportError as error:
        raise ConfigurationError("the edge proxy needs h11: pip install tiercel[service]") from error
    return h11
