"""
Keychains: where the rings of one named key come from, read when needed and read again when they change.

A ring is read from a file, the environment or a function, at most every `REFRESH_S` seconds, and at once where a
payload names a key that the ring does not have: a node that has not heard of a rotation yet still opens what others
seal. A source that is gone takes its keys with it; one that merely fails leaves the ring that was read last.
"""

from __future__ import annotations

import importlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tiercel._core.sealing import KeyRing
from tiercel.errors import ConfigurationError, DecodeError
from tiercel.options import KeyOptions

REFRESH_S = 10.0
LEAST_REFRESH_S = 0.2
MAX_RINGS = 10_000
_PLACEHOLDER = "{tenant}"

Provider = Callable[[str], str | None]
"""Returns a tenant's ring as text, None where it has none."""


class Keychain:
    """
    The rings of one named key. Thread-safe; a call reads the source where what it has is too old.

    Args:
        options: The key's name and source.

    Raises:
        ConfigurationError: The source cannot be understood.
    """

    def __init__(self, options: KeyOptions) -> None:
        self.options = options
        self._provide: Provider = options.provider or _provider(options)
        self._is_shared = options.provider is None and not options.source.startswith("call:")
        self._is_shared = self._is_shared and _PLACEHOLDER not in options.source
        self._lock = threading.Lock()
        self._rings: dict[str, tuple[float, KeyRing | None]] = {}

    def __repr__(self) -> str:
        return f"Keychain({self.options.name}, {self.where})"

    @property
    def where(self) -> str:
        """The source, as messages name it."""
        return self.options.source if self.options.provider is None else "a function"

    @property
    def is_shared(self) -> bool:
        """Whether all tenants share one ring, so that it can be looked at before a tenant is known."""
        return self._is_shared

    def ring(self, tenant: str = "", *, age_s: float = REFRESH_S) -> KeyRing:
        """
        Return the ring of *tenant*, read no longer than *age_s* seconds ago.

        Raises:
            DecodeError: There is none, or what the source gives is no ring.
        """
        tenant = "" if self._is_shared else tenant
        with self._lock:
            read_at, ring = self._rings.get(tenant, (-1e18, None))
            if time.monotonic() - read_at > age_s:
                ring = self._read(tenant, ring)
                if len(self._rings) >= MAX_RINGS:
                    self._rings.clear()
                self._rings[tenant] = time.monotonic(), ring
        if ring is None:
            raise DecodeError(f"key {self.options.name!r}: {self.where} gives no ring")
        return ring

    def _read(self, tenant: str, last: KeyRing | None) -> KeyRing | None:
        try:
            text = self._provide(tenant)
            return None if text is None else KeyRing(text, f"key {self.options.name!r}")
        except Exception as error:
            if last is None:
                raise DecodeError(f"key {self.options.name!r}: {self.where} gives no ring: {_said(error)}") from error
            return last  # a source that fails, or is written at this moment, must not turn every read into a miss

    def key(self, tenant: str, key_id: str) -> bytes:
        """Return one key; raises `DecodeError` where the ring does not have it, even when read again."""
        for age_s in (REFRESH_S, LEAST_REFRESH_S):
            key = self.ring(tenant, age_s=age_s).key(key_id)
            if key is not None:
                return key
        raise DecodeError(f"key {self.options.name!r} has no id {key_id!r}")

    def sealing(self, tenant: str) -> tuple[str, bytes]:
        """Return the id and the key that seal now; raises `DecodeError` where there is no ring."""
        ring = self.ring(tenant)
        key = ring.key(ring.ids[0])
        assert key is not None
        return ring.ids[0], key


def _said(error: Exception) -> str:
    """Return an error's words where they are our own; another's may quote what it read."""
    return str(error) if isinstance(error, ConfigurationError) else type(error).__name__


def _provider(options: KeyOptions) -> Provider:
    kind, _, rest = options.source.partition(":")
    if kind == "file":
        return lambda tenant: _file(rest.replace(_PLACEHOLDER, tenant), options.name)
    if kind == "env":
        return lambda tenant: os.environ.get(rest.replace(_PLACEHOLDER, tenant))
    return _function(rest, options.name)


def _file(path: str, name: str) -> str | None:
    try:
        return Path(path).read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"key {name!r}: {path} cannot be read: {type(error).__name__}") from error


def _function(path: str, name: str) -> Provider:
    module, _, attribute = path.partition(":")
    try:
        found: Provider = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"key {name!r}: there is no function {path!r}") from error
    return found
