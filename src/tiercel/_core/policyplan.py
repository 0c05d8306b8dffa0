"""
The plan of a region: everything that a live change may change about it, in one immutable object.

A node swaps the whole plan by one attribute and nothing else, so that no read sees half a change. A plain local hit
looks at no plan at all: a ttl is in the entry, and a local tier that is switched off is one that holds no entries.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from tiercel._core.policy import ANY, Layer, Policy, Switch
from tiercel._core.policyfields import refined
from tiercel._core.record import Windows
from tiercel.errors import ConfigurationError
from tiercel.options import RegionOptions
from tiercel.typing import Key

__all__ = ["RegionPlan", "planned"]

LEASE_MARGIN_S: Final = 1.0
"""A lease outlives the longest load by this, so that a loader at its limit can still commit."""


@dataclass(frozen=True, slots=True)
class RegionPlan:
    """
    One region as it runs now.

    Args:
        options: The matrix file's row with what was changed live.
        off: The switches that name this region.

    Attributes:
        windows: Ttl, grace and keep in milliseconds.
        lease_ms: Life of a lease.
        tombstone_ms: Life of a tombstone.
        tag_life_ms: Least life of a tag's token.
    """

    options: RegionOptions
    off: tuple[Switch, ...] = ()
    windows: Windows = field(init=False)
    lease_ms: int = field(init=False)
    tombstone_ms: int = field(init=False)
    tag_life_ms: int = field(init=False)

    def __post_init__(self) -> None:
        options = self.options
        windows = Windows(*(int(s * 1000) for s in (options.ttl_s, options.grace_s, options.keep_s)))
        lease_ms = int((options.load_timeout_s + LEASE_MARGIN_S) * 1000)
        object.__setattr__(self, "windows", windows)
        object.__setattr__(self, "lease_ms", lease_ms)
        object.__setattr__(self, "tombstone_ms", 2 * lease_ms)
        object.__setattr__(self, "tag_life_ms", 2 * windows.total_ms + 2 * lease_ms)

    def is_off(self, layer: Layer, tenant: str, key: Key) -> bool:
        """Say whether *layer* is switched off for *key* of *tenant*."""
        return any(switch.layer == layer and switch.covers(tenant, key) for switch in self.off)

    def is_any_off(self, layer: Layer, tenant: str, keys: Iterable[Key]) -> bool:
        """Say whether *layer* is switched off for any of *keys*."""
        return bool(self.off) and any(self.is_off(layer, tenant, key) for key in keys)

    def newly_off(self, layer: Layer, before: RegionPlan) -> tuple[Switch, ...]:
        """Return the switches of *layer* that *before* did not have."""
        return tuple(switch for switch in self.off if switch.layer == layer and switch not in before.off)


def planned(options: RegionOptions, policy: Policy) -> tuple[RegionPlan, str]:
    """
    Return the plan of a region under *policy*, and why its fields were left alone where they do not fit.

    A node whose matrix file is older or newer than the one that a change was checked by keeps its file's row: no node
    stops for it.
    """
    off = tuple(switch for switch in policy.switches if switch.region in (ANY, options.name))
    try:
        return RegionPlan(refined(options, policy.regions.get(options.name, {})), off), ""
    except (ConfigurationError, TypeError, OverflowError) as error:
        return RegionPlan(options, off), str(error)
