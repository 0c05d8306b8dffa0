"""The live policy between processes on a real Redis: two follow a change, one that is cut off catches up."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.async_.engine.conftest import until
from tests.rig.redis import RedisServer
from tiercel import AsyncCache, CacheOptions, Matrix, RegionOptions
from tiercel._chaos.proxy import FaultProxy
from tiercel._core.policynotes import NodeNote
from tiercel._process import Process

WITHIN_S = 2.0
# A node that says its version and the ttl of an entry that it makes, each time that the policy changes, until told.
NODE = """
import asyncio, sys
from tiercel import AsyncCache, CacheOptions, Matrix, RegionOptions
async def main():
    namespace, redis, node, state = sys.argv[1:]
    options = CacheOptions(namespace=namespace, redis=redis, node=node, state_dir=state)
    async with AsyncCache(Matrix.of(RegionOptions(name="page", ttl_s=60.0), options)) as cache:
        print("up", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        page = cache.tenant("acme").region("page")
        await page.set(node, 1)
        print(cache.policy.version, round(await page.ttl(node)), flush=True)
asyncio.run(main())
"""


def matrix(namespace: str, url: str, name: str, home: Path) -> Matrix:
    options = CacheOptions(namespace=namespace, redis=url, node=name, state_dir=str(home / name))
    return Matrix.of(RegionOptions(name="page", ttl_s=60.0), options)


@asynccontextmanager
async def process(namespace: str, url: str, name: str, home: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a node in a process of its own."""
    words = (sys.executable, "-c", NODE, namespace, url, name, str(home / name))
    pipe = asyncio.subprocess.PIPE
    node = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe)
    try:
        assert node.stdout is not None
        assert await node.stdout.readline() == b"up\n"
        yield node
    finally:
        with contextlib.suppress(ProcessLookupError):
            node.kill()
        await node.wait()


async def said_by(cache: AsyncCache, names: set[str], version: int) -> dict[str, NodeNote]:
    """Return what each of *names* says once it follows *version*."""
    for _ in range(400):
        notes = {note.node: note for note in await cache.policy.book.nodes()}
        if names <= {name for name, note in notes.items() if note.version == version}:
            return notes
        await asyncio.sleep(0.025)
    raise AssertionError(f"not all of {names} follow version {version}")


async def test_two_other_processes_follow_within_two_seconds(redis_server: RedisServer, tmp_path: Path) -> None:
    space, url = f"p{secrets.token_hex(6)}", redis_server.url
    async with (
        AsyncCache(matrix(space, url, "here", tmp_path), process=Process()) as cache,
        process(space, url, "one", tmp_path) as one,
        process(space, url, "other", tmp_path) as other,
    ):
        document = await cache.policy.change({"page": {"ttl": "7s"}}, by="ada")
        at_s = document.history[-1].at_s
        notes = await said_by(cache, {"here", "one", "other"}, document.version)
        assert {name: note.applied_s - at_s <= WITHIN_S for name, note in notes.items()} == dict.fromkeys(notes, True)
        for node in (one, other):
            assert node.stdin is not None
            assert node.stdout is not None
            node.stdin.write(b"\n")
            assert await node.stdout.readline() == b"1 7\n"


async def test_a_node_that_was_cut_off_catches_up(redis_server: RedisServer, tmp_path: Path) -> None:
    space = f"p{secrets.token_hex(6)}"
    with FaultProxy(urlsplit(redis_server.url).port or 0) as proxy:
        await _is_cut_off(space, redis_server.url, proxy, tmp_path)


async def _is_cut_off(space: str, url: str, proxy: FaultProxy, home: Path) -> None:
    through = f"redis://127.0.0.1:{proxy.port}"
    async with (
        AsyncCache(matrix(space, url, "here", home), process=Process()) as cache,
        AsyncCache(matrix(space, through, "cut", home), process=Process()) as cut,
    ):
        proxy.stop()
        await until(lambda: any(event.name == "policy_unreachable" for event in cut.recorder.events()))
        document = await cache.policy.change({"page": {"ttl": "7s"}}, by="ada")
        assert cut.policy.version == 0
        assert cut.tenant("acme").region("page").options.ttl_s == 60.0
        proxy.start()
        await until(lambda: cut.policy.version == document.version)
        assert cut.tenant("acme").region("page").options.ttl_s == 7.0
