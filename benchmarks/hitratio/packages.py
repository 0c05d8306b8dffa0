"""The packages that are measured, and ours: each an object with ``access(key)``, fed with text keys as users have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from tiercel._core.clock import ManualClock
from tiercel.local import LocalTier
from tiercel.options import LocalOptions
from tiercel.typing import MISS

__all__ = ["Ours", "Reader", "makers"]

FOREVER_S = 1e12


class Reader(Protocol):
    """A cache that is read through."""

    def access(self, key: str) -> bool:
        """Return whether *key* is held; take it in where it is not."""


class Ours:
    """
    The local tier itself.

    Args:
        options: Its bounds.
        ttl_s: Time to live; the clock is moved by the caller.
        weights: Bytes of each key's entry, where bytes bound it.
    """

    def __init__(self, options: LocalOptions, ttl_s: float = FOREVER_S, weights: dict[str, int] | None = None) -> None:
        self.clock = ManualClock(0.0)
        self._view = LocalTier(clock=self.clock).table("trace", options).view("acme")
        self._get, self._set = self._view.get, self._view.set
        self._ttl_s = ttl_s
        self._weights = weights

    def access(self, key: str) -> bool:
        if self._get(key) is not MISS:
            return True
        self._set(key, None, ttl_s=self._ttl_s, weight=0 if self._weights is None else self._weights[key])
        return False


class _Mapping:
    """A package whose cache is a mapping."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def access(self, key: str) -> bool:
        if key in self._cache:
            self._cache[key]
            return True
        self._cache[key] = True
        return False


class _Methods:
    """A package whose cache has ``get`` and ``set``."""

    def __init__(self, cache: Any, absent: Any = None) -> None:
        self._get, self._set, self._absent = cache.get, cache.set, absent

    def access(self, key: str) -> bool:
        if self._get(key) is not None:
            return True
        self._set(key, True)
        return False


class _Theine(_Methods):
    def access(self, key: str) -> bool:
        _, found = self._get(key)
        if not found:
            self._set(key, True)
        return bool(found)


def _cachebox(size: int) -> Reader:
    import cachebox

    return _Mapping(cachebox.LRUCache(size))


def _moka(size: int) -> Reader:
    import moka_py

    return _Methods(moka_py.Moka(size))


def _theine(size: int) -> Reader:
    from theine import Cache

    return _Theine(Cache(size))


MAKERS: dict[str, Callable[[int], Reader]] = {"cachebox": _cachebox, "moka-py": _moka, "theine": _theine}


def makers() -> tuple[dict[str, Callable[[int], Reader]], list[str]]:
    """Return what is installed, and the names of what is not."""
    found, missing = {}, []
    for name, make in MAKERS.items():
        try:
            make(10)
        except ImportError:
            missing.append(name)
        else:
            found[name] = make
    return found, missing
