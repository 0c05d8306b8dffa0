"""
Tags: what an entry depends on, and the tokens that say whether it still holds.

A tag's version is a random 64-bit token. An entry stores the tokens that its tags had *before* its load began; it is
valid while each of them is the tag's token of now. Renewing one token invalidates any number of entries in one write.
A tag whose token is lost (evicted, never seen) gets a fresh random one: that costs misses, and never serves stale data.

Four scopes are implied for every entry: everything, its tenant, its region in all tenants, its region in its tenant.
Their tokens are mixed into one, the *generation*, so that an entry carries one pair for all four.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Mapping

from tiercel._core.frame import TagToken
from tiercel._core.keys import KeySpace, check_tag
from tiercel.errors import KeyRefused
from tiercel.typing import GLOBAL

WARN_TAGS = 16
MAX_OWN_TAGS = 64
"""Most tags that a caller may put on one entry; what it depends on comes on top."""
MASK = (1 << 64) - 1
EVERYTHING = "@all"
TENANT = "@tenant"


_source = random.Random()  # tokens must differ, not be secret; a generator of our own cannot be seeded
os.register_at_fork(after_in_child=_source.seed)  # by the application, and does not repeat itself in a forked child


def fresh_token() -> int:
    """Return a random token, never 0; no system call."""
    return _source.getrandbits(64) or 1


def region_tag(region: str) -> str:
    """Return the implicit tag of *region* in all tenants; it lives in `GLOBAL`."""
    return f"@region/{region}"


def own_tag(region: str) -> str:
    """Return the implicit tag of *region* in one tenant."""
    return f"@own/{region}"


def key_tag(region: str, encoded_key: bytes) -> str:
    """Return the implicit tag of one entry: what was computed from it falls with it."""
    return f"@key/{region}{encoded_key.decode('utf-8', 'surrogatepass')}"


def dependency_tag(tag: int) -> str:
    """Return the name under which a CDN knows what was made from a tag: copies keep tags by their hashes only."""
    return f"@dep:{tag:016x}"


def prefix_tag(region: str, prefix: str) -> str:
    """Return the implicit tag of a declared key prefix."""
    return f"@prefix/{region}/{prefix}"


def generation_hashes(space: KeySpace, tenant: str, region: str) -> tuple[int, int, int, int]:
    """Return the hashes of the four implied scopes, widest first."""
    return (
        space.tag_hash(GLOBAL, EVERYTHING),
        space.tag_hash(tenant, TENANT),
        space.tag_hash(GLOBAL, region_tag(region)),
        space.tag_hash(tenant, own_tag(region)),
    )


def mix(tokens: Iterable[int]) -> int:
    """Return one 64-bit token that changes when any of *tokens* does (SplitMix64's finaliser over a running sum)."""
    state = 0
    for token in tokens:
        state = (state * 0x9E3779B97F4A7C15 + token + 1) & MASK
        state ^= state >> 30
        state = (state * 0xBF58476D1CE4E5B9) & MASK
        state ^= state >> 27
    return state


def tag_hashes(space: KeySpace, tenant: str, tags: Iterable[str]) -> tuple[int, ...]:
    """
    Return the sorted, distinct hashes of user *tags* in *tenant*.

    Raises:
        KeyRefused: a tag is malformed, or there are more than 64.
    """
    hashes = sorted({space.tag_hash(tenant, check_tag(tag)) for tag in tags})
    if len(hashes) > MAX_OWN_TAGS:
        raise KeyRefused(f"{len(hashes)} tags on one entry: at most {MAX_OWN_TAGS}; use a coarser tag")
    return tuple(hashes)


def holds(stored: Iterable[TagToken], current: Mapping[int, int]) -> bool:
    """Say whether every stored token is the tag's token of now; an unknown tag does not hold."""
    return all(current.get(tag) == token for tag, token in stored)
