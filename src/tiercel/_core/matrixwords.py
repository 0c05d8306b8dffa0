"""
What a row of the matrix means, in words: where copies live, how long each window is, what a write waits for.
"""

from __future__ import annotations

from typing import Final

from tiercel._core.durations import format_duration
from tiercel.options import JournalOptions, RegionOptions

__all__ = ["meaning_of"]

_PLACES: Final = {
    "local": "in each process",
    "redis": "in Redis for all nodes",
    "cdn": "at the CDN's edges",
}
_SURVIVES: Final = {
    "memory": "lost when the process ends",
    "process": "survives the process",
    "always": "survives power loss",
    "replicated": "survives the loss of a node",
}


def meaning_of(region: RegionOptions) -> str:
    """Return one sentence a clause on what *region* does."""
    return "; ".join((_copies(region), _windows(region), _write(region)))


def _copies(region: RegionOptions) -> str:
    return "copies " + " and ".join(_PLACES[tier] for tier in region.tiers)


def _windows(region: RegionOptions) -> str:
    text = f"fresh {format_duration(region.ttl_s)}"
    if region.local_ttl_s is not None and "local" in region.tiers:
        text += f" (in the process {format_duration(region.local_ttl_s)})"
    if region.grace_s:
        text += f", then stale {format_duration(region.grace_s)} while one refresh runs"
    if region.keep_s:
        text += f", then {format_duration(region.keep_s)} more where the load fails"
    return text


def _write(region: RegionOptions) -> str:
    far = region.tiers[-1]
    if region.store is None:
        if region.strategy == "write-through":
            return f"derived: a write returns once the {far} tier has it"
        return f"derived: a write returns at once, the {far} tier gets it in the background"
    if region.strategy == "write-through":
        return "a write returns once the store has it, and the tiers follow"
    journal = region.journal or JournalOptions()
    return (
        f"a write returns once the {journal.kind} journal has it ({_SURVIVES[journal.durability]}), "
        f"the store gets it in batches of up to {journal.batch_size} within {format_duration(journal.interval_s)}"
    )
