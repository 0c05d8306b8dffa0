"""Recorded accesses: one key a line, plain, gz or zst; with the names, sizes and bounds that a run needs."""

from __future__ import annotations

import gzip
import itertools
from dataclasses import dataclass
from pathlib import Path
from random import Random

__all__ = ["Trace", "load_all", "synthetic"]

SUFFIXES = (".keys", ".txt", ".keys.gz", ".txt.gz", ".keys.zst", ".txt.zst")


@dataclass(frozen=True, slots=True)
class Trace:
    """
    One recording.

    Args:
        name: The file's name without its endings.
        requests: Keys as small numbers, in order; key *n* was the *n*-th new one.
        unique: How many keys there are.
    """

    name: str
    requests: list[int]
    unique: int

    def size_at(self, percent: float) -> int:
        """Return the cache size that is *percent* of the unique keys; at least 1."""
        return max(1, int(self.unique * percent / 100))


def synthetic(requests: int = 100_000) -> Trace:
    """Return an invented shop: skewed popularity that is drawn anew half-way, one-hit wonders, and two crawls."""
    chance = Random(1)
    weights = list(itertools.accumulate(1 / (rank + 10) ** 0.9 for rank in range(20_000)))
    keys: list[int] = []
    while len(keys) < requests:
        season = 20_000 * (len(keys) * 2 // requests)
        keys += [season + rank for rank in chance.choices(range(20_000), cum_weights=weights, k=80)]
        keys += [1_000_000 + chance.randrange(10**9) for _ in range(20)]
        if len(keys) in (requests // 4, requests * 3 // 4):
            keys += range(season, season + 2_000)
    numbers: dict[int, int] = {}
    numbered = [numbers.setdefault(key, len(numbers)) for key in keys[:requests]]
    return Trace("synthetic", numbered, len(numbers))


def load_all(folder: Path, limit: int | None) -> list[Trace]:
    """Read every trace of *folder*, by name; at most *limit* requests of each."""
    paths = sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIXES))
    if not paths:
        raise SystemExit(f"{folder}: no file that ends in {', '.join(SUFFIXES)}")
    return [_load(path, limit) for path in paths]


def _load(path: Path, limit: int | None) -> Trace:
    numbers: dict[str, int] = {}
    keys = _text(path).split()[:limit]
    requests = [numbers.setdefault(key, len(numbers)) for key in keys]
    return Trace(path.name.split(".")[0], requests, len(numbers))


def _text(path: Path) -> str:
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes()).decode()
    if path.suffix == ".zst":
        import zstandard

        with path.open("rb") as stream:
            return zstandard.ZstdDecompressor().stream_reader(stream).read().decode()
    return path.read_text(encoding="utf-8")
