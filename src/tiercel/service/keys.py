"""
Keys under the magnifying glass: what every tier holds of one, and its value for those who may see it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tiercel._async.cache import AsyncCache
from tiercel.typing import MISS

__all__ = ["KeyName", "ValueView", "explain_key", "show_value"]

MOST_SHOWN_CHARACTERS: Final = 4096


class KeyName(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key of one tenant; ``@global`` is the tenant of data that belongs to none."""

    region: str
    tenant: str
    key: str


class ValueView(msgspec.Struct, frozen=True, kw_only=True):
    """
    A value as text.

    Attributes:
        found: Whether a tier holds a fresh copy.
        text: JSON of up to 4,096 characters; empty where there is none.
        is_cut: Whether there is more.
    """

    found: bool
    text: str = ""
    is_cut: bool = False


async def explain_key(cache: AsyncCache, name: KeyName) -> dict[str, Any]:
    """Return every tier's copy, without its value, and the verdict; raises ConfigurationError for a wrong name."""
    return await cache.tenant(name.tenant).region(name.region).explain(name.key)


async def show_value(cache: AsyncCache, name: KeyName) -> ValueView:
    """Return the value that a read would be served from the tiers; never loads."""
    value = await cache.tenant(name.tenant).region(name.region).get(name.key)
    if value is MISS:
        return ValueView(found=False)
    plain = value.hex(" ") if isinstance(value, bytes) else value
    text = msgspec.json.format(msgspec.json.encode(plain, enc_hook=repr)).decode()
    return ValueView(found=True, text=text[:MOST_SHOWN_CHARACTERS], is_cut=len(text) > MOST_SHOWN_CHARACTERS)
