"""
Which settings of a region may change while it runs, what each change means, and why the others may not.

A setting is safe where nothing was built from it at the start and every node may differ in it for a while. A change of
ttl and windows counts for entries made from then on: those that are there keep theirs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from tiercel._core.keys import check_tenant
from tiercel._core.matrixfile import TableReader, field_specs, nearest
from tiercel._core.policy import ANY, RESET, Draft, Policy, Switch
from tiercel.errors import ConfigurationError
from tiercel.options import RegionOptions
from tiercel.typing import GLOBAL

__all__ = ["LIVE", "REFUSED", "check_draft", "check_policy", "read_fields", "refined"]

LIVE: Final = {
    "ttl_s": "entries made from now on",
    "grace_s": "entries made from now on",
    "keep_s": "entries made from now on",
    "negative_ttl_s": "answers remembered from now on",
    "local_ttl_s": "local copies made from now on",
    "ttl_jitter": "entries made from now on",
    "never_stale": "reads from now on",
    "early_refresh_beta": "reads from now on",
    "soft_timeout_s": "reads from now on",
    "shadow_share": "hits from now on",
    "shadow_rate": "comparisons from now on",
}
"""Settings that may change live, and for what a change counts."""

_STRUCTURE: Final = "readers, writers and connections were chosen by it at the start"
_ENTRIES: Final = "entries that are there were made by it, and nodes that differ would not read each other's"
_SHARED: Final = "nodes that differ in it would break what it promises"
REFUSED: Final = {
    "name": "it is in every key",
    "tiers": f"{_STRUCTURE}; to take a tier out of use, switch it off",
    "strategy": f"{_STRUCTURE}; to write through for a while, switch write-behind off",
    "store": _STRUCTURE,
    "scope": "it is in every key",
    "journal": _STRUCTURE,
    "local": "the local table was built with these bounds",
    "codec": _ENTRIES,
    "value_type": "it is code",
    "stale_if": "it is code",
    "compress_above_bytes": "the codec was built with it",
    "max_value_bytes": "the codec was built with it",
    "big_value_bytes": "the codec was built with it",
    "load_timeout_s": "leases and tombstones on every node are as long as it says; a shorter one elsewhere voids loads",
    "max_staleness_s": "the backplane was opened with the shortest of all regions",
    "tags": "entries that are there do not carry new ones, so they would not fall with them",
    "prefixes": "entries that are there do not carry new ones, so they would not fall with them",
    "track_dependencies": "what was computed before does not carry its dependencies",
    "consistency": _SHARED,
    "private": "responses made before may be shared already",
    "purge_pages": "pages made before are not marked",
}
"""Settings that may not change live, and why."""


def read_fields(table: Mapping[str, Any], region: str) -> dict[str, Any]:
    """
    Return a change of *region* as a person writes it (``{"ttl": "10m"}``) by the names of `RegionOptions`.

    Raises:
        ConfigurationError: an unknown setting, one that may not change live, or a value that is none; names them all.
    """
    reset = {key for key, value in table.items() if value == RESET}
    reader = TableReader()
    path = ("regions", region)
    fields = reader.fields(RegionOptions, {key: table[key] for key in table if key not in reset}, path, also=_NESTED)
    specs = field_specs(RegionOptions)
    reader.unknown(dict.fromkeys(reset), [*specs, *_NESTED], path)
    names = {specs[key].name if key in specs else key for key in table}
    problems = [problem.message for problem in reader.problems]
    problems += [f"{name.removesuffix('_s')}: {_refusal(name)}" for name in sorted(names & _names() - LIVE.keys())]
    if problems:
        raise ConfigurationError(f"region {region!r} cannot be changed like this while it runs: {'; '.join(problems)}")
    return {**fields, **{specs[key].name: RESET for key in reset}}


LONGEST_S: Final = 10 * 366 * 86_400.0
"""No duration is longer: the far tier's own clocks must hold it."""
LONGEST_PREFIX: Final = 256
_NESTED: Final = ("name", "local", "journal", "value_type", "stale_if")


def _names() -> set[str]:
    return {field.name for field in dataclasses.fields(RegionOptions)}


def _refusal(name: str) -> str:
    return REFUSED.get(name, "it is read once, at the start")


def refined(options: RegionOptions, fields: Mapping[str, Any]) -> RegionOptions:
    """Return a region's row of the file with live *fields* over it; raises ConfigurationError for a contradiction."""
    for name in fields:
        if name not in LIVE:
            raise ConfigurationError(f"region {options.name!r}: {name} may not change live")
        if name.endswith("_s") and (fields[name] or 0) > LONGEST_S:
            raise ConfigurationError(f"region {options.name!r}: {name}={fields[name]}: at most {LONGEST_S:g} seconds")
    return dataclasses.replace(options, **fields) if fields else options


def check_draft(draft: Draft, regions: Mapping[str, RegionOptions]) -> None:
    """Raise ConfigurationError where *draft* does not fit the matrix *regions*, naming every mistake."""
    problems = [_region_problem(name, fields, regions) for name, fields in draft.regions.items()]
    problems += [_switch_problem(switch, regions) for switch in draft.off]
    if draft.guard is not None and draft.guard.region and draft.guard.region not in regions:
        problems.append(f"guard: no region {draft.guard.region!r} in the matrix{nearest(draft.guard.region, regions)}")
    found = [problem for problem in problems if problem]
    if found:
        raise ConfigurationError("; ".join(found))


def check_policy(policy: Policy, regions: Mapping[str, RegionOptions]) -> None:
    """Raise ConfigurationError where a whole *policy* does not fit: a change may contradict an earlier one."""
    for name, fields in policy.regions.items():
        if name in regions:
            refined(regions[name], fields)


def _region_problem(name: str, fields: Mapping[str, Any], regions: Mapping[str, RegionOptions]) -> str:
    if name not in regions:
        return f"no region {name!r} in the matrix{nearest(name, regions)}"
    share = fields.get("shadow_share", 0.0)
    if share not in (RESET, 0.0) and regions[name].store is None:
        return f"region {name!r}: shadow_share={share}, but there is no store to compare with"
    return ""


def _switch_problem(switch: Switch, regions: Mapping[str, RegionOptions]) -> str:
    try:
        check_tenant(GLOBAL if switch.tenant == ANY else switch.tenant)
    except ConfigurationError as error:
        return str(error)
    if len(switch.prefix) > LONGEST_PREFIX:
        return f"a prefix must have at most {LONGEST_PREFIX} characters"
    if switch.region == ANY:
        return ""
    if switch.region not in regions:
        return f"no region {switch.region!r} in the matrix{nearest(switch.region, regions)}"
    options = regions[switch.region]
    if switch.layer != "write-behind":
        has_tier = switch.layer in options.tiers or (switch.layer == "local" and options.hot_limit > 0)
        return "" if has_tier else f"region {options.name!r} has no tier {switch.layer!r} to switch off"
    if options.strategy != "write-behind":
        return f"region {options.name!r} is written through already"
    if options.store is None:
        return f"region {options.name!r} has no store to write through to: its values would be lost"
    return ""
