# Generated from src/tiercel/_async/warmer.py by tools/unasync.py. Do not edit.
"""
The warmer: keeps the list of keys that are worth being warm, and fills a cold cache from it while it serves already.

The list holds keys with heat and cost, never values. Each node saves what it asked for every ``warm_every_s``: into a
document of the far tier that all nodes merge theirs into, and into a file of its own, which survives a wiped far tier.

A node warms when it starts, and when the document is gone that it saved: the far tier was wiped, or replaced by an
empty one. Keys go to the store in bulk, worthiest first, at most ``warm_rate`` a second, one query at a time and
through the store's gate, so that callers come first. What the far tier holds already costs no query.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tiercel._sync.node import Node, RegionCore
from tiercel._sync.region import Region
from tiercel._sync.tier import FarTier
from tiercel._core.warmkeys import WarmKey, WarmKeys, in_batches, merged, pack_keys, ranked, unpack_keys
from tiercel._paired import Event, Function, Job, run_blocking, spawn
from tiercel.errors import CacheError, DecodeError
from tiercel.options import CacheOptions
from tiercel.typing import Key

__all__ = ["AsyncWarmer", "WarmProgress"]

DOCUMENT = "warm"
BATCH = 200
MOST = 1_000_000
LOOK_S = 1.0
TRIES = 30
RETRY_S = 0.1
FADING = 0.9
"""What is left of other nodes' heats at each merge, so that keys of nodes that are gone are forgotten."""


@dataclass(frozen=True, slots=True)
class WarmProgress:
    """How far a warm-up is: keys of the list, keys done, and those of them whose batch failed or has no store."""

    total: int = 0
    done: int = 0
    skipped: int = 0
    is_running: bool = False


class AsyncWarmer:
    """
    Args:
        node: The cache.
        cores: Its regions.
        keys: What this process asked for.
        options: Bounds and rates.
        path: File of the list; None where nothing is kept on disk.
        region_of: Gives the region of a tenant.
    """

    def __init__(
        self,
        node: Node,
        cores: Mapping[str, RegionCore],
        keys: WarmKeys,
        options: CacheOptions,
        path: Path | None,
        region_of: Callable[[str, str], Region],
    ) -> None:
        self.progress = WarmProgress()
        self._node = node
        self._cores = cores
        self._keys = keys
        self._options = options
        self._path = path
        self._region_of = region_of
        self._name = node.space.own_key(DOCUMENT)
        self._has_saved = False
        self._stopping = Event()
        self._job: Job | None = None

    def start(self) -> None:
        """Warm from what was saved, then save and watch, in the background."""
        self._job = spawn("tiercel-warmer", self._run)

    def close(self, deadline_s: float = 5.0) -> None:
        """Save once more, and stop."""
        self._stopping.set()
        if self._job is not None:
            self._job.join(deadline_s)

    def _run(self) -> None:
        self._tried(self.warm)
        clock = self._node.process.clock
        save_at = clock.monotonic() + self._options.warm_every_s
        while not self._stopping.is_set():
            self._stopping.wait_for(LOOK_S)
            if self._tried(self._is_wiped):
                self._node.recorder.event("far_tier_wiped", tier="redis")
                self._tried(self.warm)
            if clock.monotonic() >= save_at or self._stopping.is_set():
                self._tried(self.save)
                save_at = clock.monotonic() + self._options.warm_every_s

    def _tried(self, step: Function[[], object]) -> object:
        """Run *step*; a failure is an event, and the next round tries again."""
        try:
            return step()
        except (CacheError, OSError) as error:
            self._node.recorder.event("warm_failed", why=str(error))
            return None

    def _is_wiped(self) -> bool:
        """Say whether the far tier lost the document that this node has saved."""
        far = self._node.far
        return self._has_saved and far is not None and far.document_version(self._name) == 0

    def saved(self, most: int | None = None) -> list[WarmKey]:
        """Return the list: what all nodes saved in the far tier, this node's file, and what it asked for since."""
        far = self._node.far
        shared = (self._document(far))[1] if far is not None else []
        return ranked(
            merged(shared, self._from_file(), self._keys.keys()), most or self._options.warm_keys or MOST
        )

    def save(self) -> int:
        """Save the list in both places, and return how many keys it has."""
        far = self._node.far
        version, shared = self._document(far) if far is not None else (0, [])
        known = merged(shared or self._from_file(), self._keys.keys(), fading=FADING)
        keys = ranked(known, self._options.warm_keys)
        packed = pack_keys(keys)
        if self._path is not None:
            run_blocking(_replace_file, self._path, packed)
        if far is not None and keys:
            # Where another node was quicker, its list has ours from the last time; the next turn adds what is new.
            self._has_saved = far.swap_document(self._name, version, version + 1, packed) or self._has_saved
        return len(keys)

    def _document(self, far: FarTier) -> tuple[int, list[WarmKey]]:
        version, packed = far.document(self._name)
        try:
            return version, unpack_keys(packed) if version else []
        except DecodeError:
            self._node.recorder.event("damaged", tier=far.name, why="the list of warm keys")
            return version, []

    def _from_file(self) -> list[WarmKey]:
        if self._path is None or not self._path.exists():
            return []
        try:
            return unpack_keys(run_blocking(self._path.read_bytes))
        except DecodeError:
            self._node.recorder.event("damaged", tier="local", why="the file of warm keys")
            return []

    def warm(
        self, on_progress: Callable[[WarmProgress], None] | None = None, most: int | None = None
    ) -> WarmProgress:
        """Fill the tiers from the saved list, and return how far that came; *on_progress* hears of every batch."""
        keys = self.saved(most)
        self.progress = WarmProgress(len(keys), is_running=True)
        if keys and self._options.warm_keys:
            self._tried(self.save)  # a wiped far tier has the list again: other nodes need not warm as well
        self._node.recorder.event("warm_started", keys=len(keys))
        for (tenant, region), batch in in_batches(keys, BATCH):
            if self._stopping.is_set():
                break
            started = self._node.process.clock.monotonic()
            is_done = self._warmed(tenant, region, batch)
            done, skipped = self.progress.done + len(batch), self.progress.skipped + (0 if is_done else len(batch))
            self.progress = replace(self.progress, done=done, skipped=skipped)
            self._node.recorder.gauge("warm_left", len(keys) - done)
            if on_progress is not None:
                on_progress(self.progress)
            if is_done:
                took_s = self._node.process.clock.monotonic() - started
                self._stopping.wait_for(max(0.0, len(batch) / self._options.warm_rate - took_s))
        self.progress = replace(self.progress, is_running=False)
        if keys:
            self._node.recorder.event("warm_ended", keys=self.progress.done, skipped=self.progress.skipped)
        return self.progress

    def _warmed(self, tenant: str, region: str, keys: list[Key]) -> bool:
        """
        Read a batch through the tiers; False where its region has no store, or every try failed.

        A store that is overloaded sheds the batch like any load. But one query of it spares the store two hundred, so
        it is tried again until it finds a place.
        """
        core = self._cores.get(region)
        if core is None or core.store is None:
            return False
        for _ in range(TRIES):
            try:
                self._region_of(tenant, region).read_many(keys)
            except CacheError as error:
                failure = error
            else:
                return True
            if self._stopping.wait_for(RETRY_S):
                break
        self._node.recorder.event("warm_failed", region=region, tenant=tenant, why=str(failure))
        return False


def _replace_file(path: Path, content: bytes) -> None:
    """Write *content* in place of the file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}.new")
    fresh.write_bytes(content)
    fresh.replace(path)
