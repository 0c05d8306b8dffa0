"""Recorded accesses: one key a line, plain, gz or zst; with the names, sizes and bounds that a run needs."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Trace", "load_all"]

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
