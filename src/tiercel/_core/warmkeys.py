"""
Which keys are worth being warm: how often each was asked for and what it costs to load, never a value.

*Heat* is a count of reads beyond the local tier, halved every half-life. *Worth* is heat times load cost: what a second
without the key costs its store. A cold cache is filled in the order of worth, hottest and dearest first.

Bounded: once twice the capacity is held, the coldest half is forgotten, which costs a sort every so many new keys.
Pure: ``now`` is seconds on a monotonic clock. Threads may share one; a race can lose a count.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from tiercel._core.keys import decode_key, encode_key
from tiercel.errors import DecodeError
from tiercel.typing import Key

__all__ = ["WarmKey", "WarmKeys", "in_batches", "merged", "pack_keys", "ranked", "unpack_keys"]

HALF_LIFE_S: Final = 600.0
UNKNOWN_COST_S: Final = 0.001
_MAGIC: Final = b"TW1 "


@dataclass(frozen=True, slots=True)
class WarmKey:
    """One key, its heat, and the seconds that loading it takes."""

    tenant: str
    region: str
    key: Key
    heat: float
    cost_s: float

    @property
    def worth(self) -> float:
        """Store time that one half-life without the key would take."""
        return self.heat * self.cost_s

    @property
    def name(self) -> tuple[str, str, Key]:
        """What identifies it."""
        return self.tenant, self.region, self.key


class WarmKeys:
    """
    The keys that this process asked for.

    Args:
        capacity: Keys that survive a cut.
    """

    __slots__ = ("_costs", "_halved_at", "_heats", "capacity")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._heats: dict[tuple[str, str, Key], float] = {}
        self._costs: dict[tuple[str, str, Key], float] = {}
        self._halved_at = float("-inf")

    def __len__(self) -> int:
        return len(self._heats)

    def read(self, tenant: str, region: str, key: Key, now: float, weight: float = 1.0) -> None:
        """Count *weight* reads of a key."""
        name = tenant, region, key
        self._heats[name] = self._heats.get(name, 0.0) + weight
        if now - self._halved_at >= HALF_LIFE_S:
            self._halve(now)
        if len(self._heats) >= 2 * self.capacity:
            self._cut()

    def loaded(self, tenant: str, region: str, key: Key, now: float, cost_s: float) -> None:
        """Count a read that had to load, and remember what that took."""
        self._costs[tenant, region, key] = cost_s
        self.read(tenant, region, key, now)

    def keys(self) -> list[WarmKey]:
        """Return what is known, in no order; a cost that was never seen is the average of those that were."""
        costs = dict(self._costs)
        usual_s = sum(costs.values()) / len(costs) if costs else UNKNOWN_COST_S
        return [WarmKey(*name, heat, costs.get(name, usual_s)) for name, heat in dict(self._heats).items()]

    def _cut(self) -> None:
        hottest = sorted(self._heats.items(), key=lambda held: held[1], reverse=True)[: self.capacity]
        self._heats = dict(hottest)
        self._costs = {name: cost for name, cost in self._costs.items() if name in self._heats}

    def _halve(self, now: float) -> None:
        if self._halved_at != float("-inf"):
            share = 0.5 ** ((now - self._halved_at) / HALF_LIFE_S)
            self._heats = {name: heat * share for name, heat in self._heats.items()}
        self._halved_at = now


def ranked(keys: Iterable[WarmKey], most: int) -> list[WarmKey]:
    """Return the *most* worthy keys, worthiest first."""
    return sorted(keys, key=lambda key: key.worth, reverse=True)[:most]


def merged(*lists: Iterable[WarmKey], fading: float = 1.0) -> list[WarmKey]:
    """
    Return every key once, with the greatest heat that a list gives it.

    Args:
        lists: What nodes know; later lists tell the cost where they disagree.
        fading: The heats of the first list count this much, so that what no node asks for any more is forgotten.
    """
    found: dict[tuple[str, str, Key], WarmKey] = {}
    for number, keys in enumerate(lists):
        for key in keys:
            heat = key.heat * (fading if number == 0 else 1.0)
            known = found.get(key.name)
            heat = heat if known is None else max(heat, known.heat)
            found[key.name] = WarmKey(key.tenant, key.region, key.key, heat, key.cost_s)
    return list(found.values())


def pack_keys(keys: Iterable[WarmKey]) -> bytes:
    """Return *keys* as bytes with a checksum."""
    rows = [
        [key.tenant, key.region, encode_key(key.key).decode("latin-1"), round(key.heat, 3), round(key.cost_s, 6)]
        for key in keys
    ]
    body = zlib.compress(json.dumps(rows, separators=(",", ":")).encode())
    return _MAGIC + zlib.crc32(body).to_bytes(4, "big") + body


def unpack_keys(packed: bytes) -> list[WarmKey]:
    """Read what `pack_keys` made; raises `DecodeError` for anything else."""
    body = packed[8:]
    if packed[:4] != _MAGIC or zlib.crc32(body).to_bytes(4, "big") != packed[4:8]:
        raise DecodeError("this is no list of warm keys, or it is damaged")
    rows = json.loads(zlib.decompress(body))
    return [
        WarmKey(tenant, region, decode_key(key.encode("latin-1")), heat, cost_s)
        for tenant, region, key, heat, cost_s in rows
    ]


def in_batches(keys: Iterable[WarmKey], most: int) -> Iterator[tuple[tuple[str, str], list[Key]]]:
    """Yield (tenant, region) with up to *most* of its keys at a time, worthiest batch first."""
    waiting: dict[tuple[str, str], list[Key]] = {}
    for key in keys:
        batch = waiting.setdefault((key.tenant, key.region), [])
        batch.append(key.key)
        if len(batch) >= most:
            yield (key.tenant, key.region), waiting.pop((key.tenant, key.region))
    yield from waiting.items()
