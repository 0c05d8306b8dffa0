# Generated from src/tiercel/_async/hotplace.py by tools/unasync.py. Do not edit.
"""
The hot place: the few keys of a region without local copies that this process keeps for a moment, for one tenant.

One read in eight from the far tier is counted. A key that is hot is copied into a small table of the local tier, away
from the read that found it so, and told to the other nodes, which copy it as soon as they read it themselves. The copy
is a local copy like any other: an invalidation, a tag, a cut backplane void it, also while it is on its way. Its bytes
are decoded on each hit, because callers of such a region own what they get.
"""

from __future__ import annotations

from typing import Any

from tiercel._sync.node import Place
from tiercel._sync.tagbook import DOUBT
from tiercel._core.copy import NEGATIVE, Copy
from tiercel._core.frame import Frame
from tiercel._hotspots import SAMPLE, HotSpots
from tiercel._paired import spawn
from tiercel.errors import TierError
from tiercel.local.contract import LocalView
from tiercel.typing import Key


class HotPlace:
    """
    The hot keys of one region in one tenant.

    Args:
        place: The region and tenant.
        spots: The region's hot keys.
        looker: Proves and decodes far records.
    """

    __slots__ = ("_copying", "_looker", "_place", "_reads", "_spots", "view")

    def __init__(self, place: Place, spots: HotSpots, looker: Any) -> None:
        self._place = place
        self._spots = spots
        self._looker = looker
        self._reads = 0
        self._copying: set[Key] = set()
        self.view: LocalView = spots.table.view(place.tenant)

    def read(self, key: Key) -> None:
        """Note that the far tier served *key*; never blocks, and mostly costs an addition."""
        self._reads += 1
        if self._reads % SAMPLE:
            return
        is_near, is_news = self._spots.counted(self._place.tenant, key)
        if is_news:
            self._place.node.announcer.key_hot(self._place.tenant, self._place.core.options.name, key)
        if is_near and key not in self._copying and not self._place.is_off("local", key):
            self._copying.add(key)
            spawn("tiercel-hot-key", self._copy, key)

    def _copy(self, key: Key) -> None:
        """Copy *key* from the far tier under a fill token taken before it is read."""
        place = self._place
        doubts, token = place.node.process.doubts, self.view.begin_fill(key)
        mark = place.node.process.unsettled.mark()
        try:
            far = place.far_for(key)
            frame = None if far is None else far.get(place.name(key))
            if frame is not None and frame.has_body and self._looker.frame_holds(key, frame, mark):
                self._keep(key, frame, token, doubts)
        except TierError as error:
            place.node.recorder.event("tier_failed", region=place.core.options.name, tier="redis", why=str(error))
        finally:
            self.view.abandon_fill(key, token)
            self._copying.discard(key)

    def _keep(self, key: Key, frame: Frame, token: int, doubts: int) -> None:
        place = self._place
        copy: Copy | None = self._looker.copy_of(frame)
        if copy is None or not copy.is_fresh or copy.value is NEGATIVE:
            return
        self.view.commit_fill(
            key,
            token,
            place.core.codec.encode_plain(copy.value),
            ttl_s=min(place.core.options.hot_ttl_s, copy.fresh_for_s),
            keep_s=0.0,
            version=copy.version,
            tags=place.stamped((*copy.stamps, (DOUBT, doubts))),
        )
