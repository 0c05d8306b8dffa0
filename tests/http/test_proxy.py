"""
The origin proxy over real loopback connections: what it sends, what it believes, and what it never mixes up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from tests.http.asking import ask, scope_of, send_scope
from tiercel.errors import ConfigurationError
from tiercel.http.edge import Edge
from tiercel.http.exchange import Message
from tiercel.http.proxy import OriginProxy
from tiercel.http.relay import OriginFailure


@dataclass
class RawServer:
    """Answers each request with the next of some byte strings; None hangs up, an empty one says nothing."""

    answers: Sequence[bytes | None]
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(head + await self._content(head, reader))
                answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()
                if b"Connection: close" in answer:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # the proxy closed the connection
        finally:
            writer.close()

    @staticmethod
    async def _content(head: bytes, reader: asyncio.StreamReader) -> bytes:
        if b"transfer-encoding: chunked" in head.lower():
            return await reader.readuntil(b"0\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return await reader.readexactly(int(line.partition(b":")[2]))
        return b""


@asynccontextmanager
async def proxied(
    *answers: bytes | None, timeout_s: float = 5.0, keep_host: bool = True
) -> AsyncIterator[tuple[OriginProxy, RawServer]]:
    raw = RawServer(answers)
    server = await asyncio.start_server(raw.serve, "127.0.0.1", 0)
    raw.port = server.sockets[0].getsockname()[1]
    proxy = OriginProxy(f"http://127.0.0.1:{raw.port}", timeout_s=timeout_s, keep_host=keep_host)
    try:
        yield proxy, raw
    finally:
        await proxy.aclose()
        server.close()
        await server.wait_closed()


def answer(body: bytes, *lines: bytes) -> bytes:
    fields = [b"Content-Length: " + str(len(body)).encode(), *lines]
    return b"HTTP/1.1 200 OK\r\n" + b"\r\n".join(fields) + b"\r\n\r\n" + body


async def test_target_and_fields_arrive_as_they_came() -> None:
    async with proxied(answer(b"hello", b"X-A: 1", b"X-A: 2")) as (proxy, raw):
        got = await ask(proxy, "/a%2Fb/../c;d?x=%20&y", headers=[("X-B", "1"), ("TE", "trailers")])
    assert (got.status, got.body, got.headers.lines("x-a")) == (200, b"hello", ["1", "2"])
    head = raw.requests[0].split(b"\r\n")
    assert head[0] == b"GET /a%2Fb/../c;d?x=%20&y HTTP/1.1"
    assert {line.partition(b":")[0].lower() for line in head[1:] if line} == {
        b"host",
        b"x-b",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"via",
    }
    assert b"host: shop.example" in raw.requests[0].lower()


async def test_what_a_client_claims_to_be_forwarded_is_replaced() -> None:
    async with proxied(answer(b""), keep_host=False) as (proxy, raw):
        await ask(proxy, headers=[("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Host", "evil")], client="192.0.2.9")
    assert b"x-forwarded-for: 192.0.2.9\r\n" in raw.requests[0].lower()
    assert b"evil" not in raw.requests[0]
    assert b"1.2.3.4" not in raw.requests[0]
    assert f"host: 127.0.0.1:{raw.port}".encode() in raw.requests[0].lower()


async def test_content_goes_through_with_and_without_a_length() -> None:
    async with proxied(answer(b"")) as (proxy, raw):
        await ask(proxy, method="PUT", body=b"abc")
        await send_scope(proxy, scope_of("/", "POST", [("transfer-encoding", "chunked")]), b"defg")
    assert raw.requests[0].endswith(b"\r\n\r\nabc")
    assert raw.requests[1].endswith(b"4\r\ndefg\r\n0\r\n\r\n")


async def test_connections_are_used_again() -> None:
    async with proxied(answer(b"one"), answer(b"two")) as (proxy, raw):
        assert [(await ask(proxy)).body, (await ask(proxy)).body] == [b"one", b"two"]
        assert raw.connections == 1


async def test_surplus_bytes_never_answer_the_next_question() -> None:
    poison = answer(b"poison")
    async with proxied(answer(b"one") + poison, answer(b"two")) as (proxy, raw):
        assert [(await ask(proxy)).body, (await ask(proxy)).body] == [b"one", b"two"]
        assert raw.connections == 2


async def test_bytes_that_come_while_nobody_asked_close_the_connection() -> None:
    async with proxied(answer(b"one"), answer(b"two")) as (proxy, raw):
        await ask(proxy)
        (idle,) = proxy._pool._idle
        idle.data_received(answer(b"poison"))
        assert (await ask(proxy)).body == b"two"
        assert raw.connections == 2


@pytest.mark.parametrize(
    "broken",
    [
        None,
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    ],
)
async def test_an_answer_that_makes_no_sense_is_502(broken: bytes | None) -> None:
    cacheable = None if broken is None else broken.replace(b"OK\r\n", b"OK\r\nCache-Control: max-age=60\r\n")
    async with proxied(cacheable, answer(b"fine"), timeout_s=2.0) as (proxy, _):
        edge = Edge(proxy)
        assert (await ask(edge)).status == 502
        assert (await ask(edge)).body == b"fine"


async def test_an_origin_that_says_nothing_is_504() -> None:
    async with proxied(b"", timeout_s=0.05) as (proxy, _):
        assert (await ask(Edge(proxy))).status == 504


async def test_an_origin_that_is_not_there_is_502() -> None:
    async with proxied(answer(b"")) as (_, raw):
        port = raw.port
    assert (await ask(Edge(OriginProxy(f"http://127.0.0.1:{port}")))).status == 502


async def test_interim_answers_are_not_taken_for_the_final_one() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    async with proxied(early + answer(b"final", b"Cache-Control: max-age=60")) as (proxy, _):
        edge = Edge(proxy)
        for _ in range(2):
            got = await ask(edge)
            assert (got.status, got.body) == (200, b"final")
            assert "link" not in got.headers


async def test_a_client_that_goes_away_while_it_sends_ends_the_question() -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError("nobody listens")

    async with proxied(answer(b"")) as (proxy, _):
        with pytest.raises(OriginFailure, match="went away"):
            await proxy(scope_of("/", "PUT", [("content-length", "3")]), receive, send)


async def test_life_begins_and_ends_with_the_server() -> None:
    asked = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    said: list[str] = []

    async def receive() -> Message:
        return next(asked)

    async def send(message: Message) -> None:
        said.append(message["type"])

    await OriginProxy("http://127.0.0.1:1")({"type": "lifespan"}, receive, send)
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


@pytest.mark.parametrize("url", ["shop.example", "ftp://shop.example", "http://shop.example/path", "http://"])
def test_an_origin_must_be_a_server(url: str) -> None:
    with pytest.raises(ConfigurationError, match="origin="):
        OriginProxy(url)
