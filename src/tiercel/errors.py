"""
Every exception that Tiercel raises, under one root.

::

    CacheError
    ├── ConfigurationError (ValueError)    bad option, unknown region, missing extra
    │   └── KeyRefused                     a key, tag or tenant name that cannot be encoded
    ├── TenantRequired                     a tenant-scoped region used without a tenant
    ├── ClosedError                        the cache was closed
    ├── BlockingCallError (RuntimeError)   the blocking façade would stop a running event loop
    ├── CodecError
    │   ├── EncodeError                    the value cannot be turned into bytes
    │   └── DecodeError                    the bytes cannot be read; a miss on a read path
    ├── TierError
    │   ├── ReplyError                     the server answered with an error; ``.code`` is its first word
    │   ├── TierUnavailable                the tier cannot be reached
    │   └── TierTimeout (TimeoutError)     the tier did not answer within its budget
    ├── StoreError
    │   ├── StoreTimeout (TimeoutError)
    │   ├── StoreConflict                  a newer version is stored already
    │   ├── JournalFull                    the write-behind journal refuses more writes
    │   ├── JournalBroken                  the journal cannot promise durability any more and has stopped
    │   └── LeaseLost                      another worker empties this partition now
    ├── SharedValueMutated                 a caller changed a value that the local tier shares (debug mode)
    ├── LoadTimeout (TimeoutError)         the loader took too long and nothing stale can be served
    └── LockTimeout (TimeoutError)

A loader's own exception passes through untouched. A driver's exception is translated at the border and kept
in ``__cause__``. A cache failure on a read is a miss and an event, not an exception.

`NotFound` is no failure: a loader raises it to say that there is no such record, and that answer is cached.
"""

from __future__ import annotations

__all__ = [
    "BlockingCallError",
    "CacheError",
    "ClosedError",
    "CodecError",
    "ConfigurationError",
    "DecodeError",
    "EncodeError",
    "JournalBroken",
    "JournalFull",
    "KeyRefused",
    "LeaseLost",
    "LoadTimeout",
    "LockTimeout",
    "NotFound",
    "ReplyError",
    "SharedValueMutated",
    "StoreConflict",
    "StoreError",
    "StoreTimeout",
    "TenantRequired",
    "TierError",
    "TierTimeout",
    "TierUnavailable",
]


class NotFound(LookupError):
    """No such record: raised by a loader, cached for the region's ``negative_ttl_s``."""


class CacheError(Exception):
    """
    A cache operation failed.

    Args:
        message: What happened and what to do; the class docstring's first line when empty.
        tier: Name of the tier or store concerned, if any.
        operation: The verb that failed, for example ``"get"``.
        key: The key concerned, redacted to a prefix and a length so that no personal data reaches a log.
    """

    def __init__(
        self,
        message: str = "",
        *,
        tier: str | None = None,
        operation: str | None = None,
        key: str | bytes | None = None,
    ) -> None:
        self.tier = tier
        self.operation = operation
        self.key = None if key is None else redact(key)
        super().__init__(message or _first_line(type(self)))


class ConfigurationError(CacheError, ValueError):
    """A setting is wrong; the message names the field and what is allowed."""


class KeyRefused(ConfigurationError):
    """A key, tag or tenant name cannot be used."""


class TenantRequired(CacheError):
    """This region holds tenants' data: use cache.tenant("name").region(...), or cache.tenant(GLOBAL)."""


class ClosedError(CacheError):
    """The cache was closed."""


class BlockingCallError(CacheError, RuntimeError):
    """A blocking call inside a running event loop would stop it: use AsyncCache here."""


class CodecError(CacheError):
    """A value could not be encoded or decoded."""


class EncodeError(CodecError):
    """The value cannot be turned into bytes by the region's codec."""


class DecodeError(CodecError):
    """The stored bytes cannot be read."""


class TierError(CacheError):
    """A cache tier failed."""


class ReplyError(TierError):
    """
    The Redis server answered with an error.

    Args:
        text: The server's words, for example ``"READONLY You can't write against a read only replica."``.
    """

    def __init__(self, text: str, *, tier: str | None = "redis") -> None:
        super().__init__(text, tier=tier)
        self.code = text.partition(" ")[0]


class TierUnavailable(TierError):
    """A cache tier cannot be reached."""


class TierTimeout(TierError, TimeoutError):
    """A cache tier did not answer in time."""


class StoreError(CacheError):
    """A store failed."""


class StoreTimeout(StoreError, TimeoutError):
    """A store did not answer in time."""


class StoreConflict(StoreError):
    """A newer version is stored already."""


class JournalFull(StoreError):
    """The write-behind journal is full and refuses more writes."""


class JournalBroken(StoreError):
    """The write-behind journal could not sync its file and has stopped; restart the process."""


class LeaseLost(StoreError):
    """Another worker holds this journal partition now."""


class SharedValueMutated(CacheError):
    """A caller changed a value that the local tier shares with others."""


class LoadTimeout(CacheError, TimeoutError):
    """The loader took too long and there is nothing stale to serve."""


class LockTimeout(CacheError, TimeoutError):
    """Another holder kept the lock too long."""


def redact(key: str | bytes) -> str:
    """Return a short, non-reversible picture of *key*: its first four characters and its length."""
    text = key.decode("utf-8", "replace") if isinstance(key, bytes) else key
    return f"{text[:4]}…({len(text)})" if len(text) > 4 else text


def _first_line(error: type[CacheError]) -> str:
    return (error.__doc__ or "").strip().split("\n", 1)[0].rstrip(".")
