"""
What happens to a value on its way into the local tier and out again: nothing, decoding, or a check for mutation.

A value is *sealed* when it is stored and *unsealed* on each hit. Shared values need neither; that is the fast way.

* ``copy = "decode"``: encoded bytes are stored, and each hit decodes them, so that callers may change what they get.
* ``detect_mutation``: a digest is taken when the value is stored and compared on each hit; a caller that changed the
  shared object makes the next hit raise `SharedValueMutated`. A debugging aid: a hit costs a walk through the value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tiercel.errors import ConfigurationError, DecodeError, SharedValueMutated
from tiercel.options import LocalOptions
from tiercel.typing import MISS

__all__ = ["Seal", "seal_for"]

SCALARS = (str, bytes, int, float, bool, complex, type(None))


@dataclass(frozen=True, slots=True)
class Seal:
    """
    The pair of functions that a table applies.

    Args:
        seal: Turns a value into what is stored; may raise.
        unseal: Turns what is stored into what a hit returns; `MISS` drops the entry.
    """

    seal: Callable[[Any], Any]
    unseal: Callable[[Any], Any]


def seal_for(options: LocalOptions, decode: Callable[[bytes], Any] | None) -> Seal | None:
    """Return the seal that *options* ask for; None where values are shared as they are."""
    if options.copy != "shared":
        if decode is None:
            message = f"copy={options.copy!r} needs a decoder: pass decode=codec.decode to LocalTier.table"
            raise ConfigurationError(message)
        return Seal(_only_bytes, _decoding(decode))
    return Seal(_digested, _checked) if options.detect_mutation else None


def _only_bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"copy='decode' stores encoded bytes, not {type(value).__name__}")
    return value


def _decoding(decode: Callable[[bytes], Any]) -> Callable[[Any], Any]:
    def unseal(payload: bytes) -> Any:
        try:
            return decode(payload)
        except DecodeError:  # on a read, bytes that cannot be read are a miss
            return MISS

    return unseal


class _Digested:
    __slots__ = ("digest", "value")

    def __init__(self, value: Any, digest: bytes) -> None:
        self.value = value
        self.digest = digest


def _digested(value: Any) -> _Digested:
    return _Digested(value, digest_of(value))


def _checked(stored: _Digested) -> Any:
    if digest_of(stored.value) != stored.digest:
        raise SharedValueMutated(
            f"a cached {type(stored.value).__name__} was changed after it was stored: copy it before changing it, "
            "or set copy = 'decode'"
        )
    return stored.value


def digest_of(value: Any) -> bytes:
    """Return a digest of all that *value* holds; equal contents give equal digests."""
    state = hashlib.blake2b(digest_size=16)
    _feed(state.update, value, set())
    return state.digest()


def _feed(update: Callable[[bytes], None], value: Any, above: set[int]) -> None:
    update(f"{type(value).__qualname__}(".encode())
    if isinstance(value, SCALARS):
        update(repr(value).encode())
    elif id(value) not in above:  # a value that holds itself is fed once
        _feed_parts(update, value, above | {id(value)})
    update(b")")


def _feed_parts(update: Callable[[bytes], None], value: Any, above: set[int]) -> None:
    if isinstance(value, dict):
        for key, part in value.items():
            _feed(update, key, above)
            _feed(update, part, above)
    elif isinstance(value, (list, tuple)):
        for part in value:
            _feed(update, part, above)
    elif isinstance(value, (set, frozenset)):
        for digest in sorted(digest_of(part) for part in value):
            update(digest)
    elif isinstance(value, bytearray):
        update(bytes(value))
    else:
        _feed_attributes(update, value, above)


def _feed_attributes(update: Callable[[bytes], None], value: Any, above: set[int]) -> None:
    names = list(vars(value)) if hasattr(value, "__dict__") else []
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        names.extend((slots,) if isinstance(slots, str) else slots)
    for name in names:
        if hasattr(value, name) and name not in ("__dict__", "__weakref__"):
            update(name.encode())
            _feed(update, getattr(value, name), above)
