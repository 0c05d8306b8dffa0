"""
``tiercel edge`` as a process of its own: it caches, and the Varnish adapter purges it as if it were a Varnish node.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from tests.real.waiting import until
from tests.rig.process import accepts, free_port, wait_until
from tiercel._async.edge import open_edge
from tiercel._async.edge_distribution import AsyncDistribution
from tiercel.cdn.purge import PurgeRequest
from tiercel.cdn.tagcodec import TagCodec

ROOT = Path(__file__).resolve().parents[3]


class CountingOrigin:
    """A raw HTTP origin that numbers its answers."""

    def __init__(self, tags: str) -> None:
        self.count = 0
        self._tags = tags.encode("ascii")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.count += 1
        body = str(self.count).encode("ascii")
        head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600, stale-while-revalidate=60\r\nConnection: close\r\n"
        writer.write(head + b"Surrogate-Key: " + self._tags + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()


@contextmanager
def edge_process(origin_port: int, *options: str, port: int | None = None) -> Iterator[int]:
    """Run ``tiercel edge`` in front of *origin_port*; yield its port."""
    port = port or free_port()
    command = [sys.executable, "-c", "from tiercel.cli import main; raise SystemExit(main())", "edge"]
    command += ["--origin", f"http://127.0.0.1:{origin_port}", "--listen", f"127.0.0.1:{port}", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: accepts(port), "tiercel edge")
        yield port
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def site(*options: str) -> AsyncIterator[tuple[CountingOrigin, int]]:
    origin = CountingOrigin(TagCodec().encode("acme", "product:1"))
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0)
    try:
        with edge_process(server.sockets[0].getsockname()[1], *options) as port:
            yield origin, port
    finally:
        server.close()
        await server.wait_closed()


async def get(port: int, path: str = "/p/1") -> str:
    def fetch() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    return await asyncio.to_thread(fetch)


async def purged(port: int, request: PurgeRequest) -> None:
    """Send *request* through the Varnish adapter and wait until it is complete."""
    edge: AsyncDistribution = await open_edge(f"varnish://127.0.0.1:{port}")
    try:
        ticket = await edge.purge(request)

        async def is_done() -> bool:
            return (await edge.status(ticket)).state == "done"

        await until(is_done, "the purge is complete")
    finally:
        await edge.aclose()


async def test_a_purge_by_the_varnish_adapter_falls_at_the_edge() -> None:
    async with site("--purge-from", "127.0.0.1") as (origin, port):
        assert [await get(port), await get(port)] == ["1", "1"]
        await purged(port, PurgeRequest(tags=["product:1"], tenant="acme"))
        assert await get(port) == "2"
        await purged(port, PurgeRequest(tags=["product:1"], tenant="other"))
        assert await get(port) == "2"
        await purged(port, PurgeRequest(paths=["/p/1"], tenant="acme"))
        assert await get(port) == "3"
        await purged(port, PurgeRequest(prefixes=["/p/"], tenant="acme"))
        assert await get(port) == "4"
        await purged(port, PurgeRequest(everything=True))
        assert await get(port) == "5"
        assert origin.count == 5


async def test_nobody_purges_where_nobody_is_let_in() -> None:
    async with site() as (_, port):
        await get(port)
        request = urllib.request.Request(f"http://127.0.0.1:{port}/", method="PURGE", headers={"X-Tiercel-Keys": "a"})

        def purge() -> int:
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    status: int = answer.status
            except urllib.error.HTTPError as refused:
                with refused:
                    status = refused.code
            return status

        assert await asyncio.to_thread(purge) == 403
        assert await get(port) == "1"
