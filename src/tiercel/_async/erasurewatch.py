"""
The erasure watch: applies other nodes' erasures to what only this node has, its file journals and its local copies.

It reads the index of erasures from where it stopped, now and every `WATCH_S` seconds, so that an erasure is everywhere
within a minute, also on a node that was away meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tiercel._async.erasure import drop_local
from tiercel._async.node import AsyncNode, AsyncRegionCore
from tiercel._async.tier import AsyncFarTier
from tiercel._async.writebehind import AsyncWriteBehind
from tiercel._core.erasure import INDEX, Erasure, unpack_erasure
from tiercel._core.keys import decode_key
from tiercel._paired import AsyncEvent, AsyncJob, async_run_blocking, async_spawn
from tiercel.errors import CacheError, DecodeError
from tiercel.typing import Key

WATCH_S = 20.0


class AsyncErasureWatch:
    """
    Applies the erasures of other nodes to what only this node has: its file journals and local copies.

    Args:
        node: The cache.
        cores: Its regions.
        path: File that remembers how far this node has read; None to begin at the end each time.
    """

    def __init__(self, node: AsyncNode, cores: Mapping[str, AsyncRegionCore], path: Path | None) -> None:
        self._node = node
        self._cores = cores
        self._path = path
        self._after = b""
        self._stopping = AsyncEvent()
        self._job: AsyncJob | None = None

    def start(self) -> None:
        """Look at the index now and every `WATCH_S` seconds, in the background."""
        self._job = async_spawn("tiercel-erasures", self._run)

    async def aclose(self, deadline_s: float = 5.0) -> None:
        """Stop looking."""
        self._stopping.set()
        if self._job is not None:
            await self._job.join(deadline_s)

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self.look()
            except CacheError as error:
                self._node.recorder.event("erasures_unread", why=str(error))
            await self._stopping.wait_for(WATCH_S)

    async def look(self) -> int:
        """Apply what was erased since the last look; return how many erasures that was."""
        far = self._node.far
        if far is None:
            return 0
        index, applied = self._node.space.own_key(INDEX), 0
        if not self._after:
            self._after = await self._begin(far, index)
        while entries := await far.listen(index, self._after, 0.001):
            for entry in entries:
                await self._apply(entry.body)
                self._after = entry.id
                applied += 1
            await self._remember()
        return applied

    async def _begin(self, far: AsyncFarTier, index: bytes) -> bytes:
        """Return where an earlier process stopped reading; a node that never read has nothing old to erase."""
        if self._path is not None and self._path.exists():
            return await async_run_blocking(self._path.read_bytes)
        self._after = (await far.stream_state(index)).last_id
        await self._remember()
        return self._after

    async def _remember(self) -> None:
        if self._path is not None:
            await async_run_blocking(self._path.write_bytes, self._after)

    async def _apply(self, body: bytes) -> None:
        try:
            note = unpack_erasure(body)
        except DecodeError as error:
            self._node.recorder.event("erasures_unread", why=str(error))
            return
        drop_local(self._cores, note)
        for region, encoded in note.keys:
            core = self._cores.get(region)
            if core is not None and core.behind is not None:
                await self._forget(core.behind, note, decode_key(encoded))

    async def _forget(self, behind: AsyncWriteBehind, note: Erasure, key: Key) -> None:
        """Remove what was written before the erasure; a later write of the same row is another story."""
        asked_at = note.at_ms * 1000  # versions are microseconds of the writer's clock, or above
        waiting = await behind.pending(note.tenant, key)
        newer = waiting is not None and waiting.version > asked_at
        await behind.forget(note.tenant, key, asked_at if newer else None)
