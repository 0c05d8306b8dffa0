# Generated from src/tiercel/_async/erasurewatch.py by tools/unasync.py. Do not edit.
"""
The erasure watch: applies other nodes' erasures to what only this node has, its file journals and its local copies.

It reads the index of erasures from where it stopped, now and every `WATCH_S` seconds, so that an erasure is everywhere
within a minute, also on a node that was away meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tiercel._sync.erasure import drop_local
from tiercel._sync.node import Node, RegionCore
from tiercel._sync.tier import FarTier
from tiercel._sync.writebehind import WriteBehind
from tiercel._core.erasure import INDEX, Erasure, unpack_erasure
from tiercel._core.keys import decode_key
from tiercel._paired import Event, Job, run_blocking, spawn
from tiercel.errors import CacheError, DecodeError
from tiercel.typing import Key

WATCH_S = 20.0


class ErasureWatch:
    """
    Applies the erasures of other nodes to what only this node has: its file journals and local copies.

    Args:
        node: The cache.
        cores: Its regions.
        path: File that remembers how far this node has read; None to begin at the end each time.
    """

    def __init__(self, node: Node, cores: Mapping[str, RegionCore], path: Path | None) -> None:
        self._node = node
        self._cores = cores
        self._path = path
        self._after = b""
        self._stopping = Event()
        self._job: Job | None = None

    def start(self) -> None:
        """Look at the index now and every `WATCH_S` seconds, in the background."""
        self._job = spawn("tiercel-erasures", self._run)

    def close(self, deadline_s: float = 5.0) -> None:
        """Stop looking."""
        self._stopping.set()
        if self._job is not None:
            self._job.join(deadline_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.look()
            except CacheError as error:
                self._node.recorder.event("erasures_unread", why=str(error))
            self._stopping.wait_for(WATCH_S)

    def look(self) -> int:
        """Apply what was erased since the last look; return how many erasures that was."""
        far = self._node.far
        if far is None:
            return 0
        index, applied = self._node.space.own_key(INDEX), 0
        if not self._after:
            self._after = self._begin(far, index)
        while entries := far.listen(index, self._after, 0.001):
            for entry in entries:
                self._apply(entry.body)
                self._after = entry.id
                applied += 1
            self._remember()
        return applied

    def _begin(self, far: FarTier, index: bytes) -> bytes:
        """Return where an earlier process stopped reading; a node that never read has nothing old to erase."""
        if self._path is not None and self._path.exists():
            return run_blocking(self._path.read_bytes)
        self._after = (far.stream_state(index)).last_id
        self._remember()
        return self._after

    def _remember(self) -> None:
        if self._path is not None:
            run_blocking(self._path.write_bytes, self._after)

    def _apply(self, body: bytes) -> None:
        try:
            note = unpack_erasure(body)
        except DecodeError as error:
            self._node.recorder.event("erasures_unread", why=str(error))
            return
        drop_local(self._cores, note)
        for region, encoded in note.keys:
            core = self._cores.get(region)
            if core is not None and core.behind is not None:
                self._forget(core.behind, note, decode_key(encoded))

    def _forget(self, behind: WriteBehind, note: Erasure, key: Key) -> None:
        """Remove what was written before the erasure; a later write of the same row is another story."""
        asked_at = note.at_ms * 1000  # versions are microseconds of the writer's clock, or above
        waiting = behind.pending(note.tenant, key)
        newer = waiting is not None and waiting.version > asked_at
        behind.forget(note.tenant, key, asked_at if newer else None)
