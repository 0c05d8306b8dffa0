"""
The dashboard's forms for the live policy: settings of a region as text fields, and what was changed in them.

A field that still says what is in force is no change; one that is emptied, or says what the file says, goes back to the
file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from tiercel._core.durations import format_duration, parse_duration
from tiercel._core.policy import RESET, Switch
from tiercel._core.policyguard import Guard
from tiercel.errors import ConfigurationError
from tiercel.options import RegionOptions
from tiercel.service.policies import PolicyRequest, Setting

__all__ = ["FieldRow", "RegionForm", "RollbackForm", "SwitchForm", "field_rows", "request_of", "switch_request"]

Kind = Literal["duration", "percent", "number", "flag"]

FIELDS: Final[list[tuple[str, str, Kind]]] = [
    ("ttl_s", "Ttl", "duration"),
    ("grace_s", "Grace", "duration"),
    ("keep_s", "Keep", "duration"),
    ("negative_ttl_s", "Negative ttl", "duration"),
    ("local_ttl_s", "Local ttl", "duration"),
    ("ttl_jitter", "Jitter, %", "percent"),
    ("early_refresh_beta", "Early refresh", "number"),
    ("soft_timeout_s", "Soft timeout", "duration"),
    ("never_stale", "Never stale", "flag"),
    ("shadow_share", "Shadow, % of hits", "percent"),
    ("shadow_rate", "Shadow, most a second", "number"),
]


@dataclass(frozen=True, slots=True)
class FieldRow:
    """One setting: its name in forms, its label, how it is spelled, what is in force, and what the file says."""

    name: str
    label: str
    kind: Kind
    now: str
    file: str


class RegionForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the form of one region says; percentages and durations as people write them, empty for none."""

    ttl: str | None = None
    grace: str | None = None
    keep: str | None = None
    negative_ttl: str | None = None
    local_ttl: str | None = None
    ttl_jitter: str | None = None
    early_refresh_beta: str | None = None
    soft_timeout: str | None = None
    never_stale: str | None = None
    shadow_share: str | None = None
    shadow_rate: str | None = None
    share: float = 100.0
    hit_rate_drop: str = ""
    p99: str = ""
    load_growth: str = ""
    window: str = "30s"
    least_requests: int = 200
    promote_after: str = ""
    reason: str = ""


class SwitchForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A switch to set, or with ``act`` "on" to take away."""

    layer: Literal["local", "redis", "cdn", "write-behind"]
    region: str = "*"
    tenant: str = "*"
    prefix: str = ""
    reason: str = ""
    act: Literal["off", "on"] = "off"


class RollbackForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The version to go back to; empty for before the last change."""

    to: str = ""
    reason: str = ""


def field_rows(file: RegionOptions, now: RegionOptions) -> list[FieldRow]:
    """Return the settings that may change live, as text."""
    return [
        FieldRow(
            name.removesuffix("_s"), label, kind, _text(getattr(now, name), kind), _text(getattr(file, name), kind)
        )
        for name, label, kind in FIELDS
    ]


def request_of(region: str, form: RegionForm, rows: list[FieldRow]) -> PolicyRequest:
    """Return the change that a filled form asks for; raises ConfigurationError for what is no number or duration."""
    changed: dict[str, Setting] = {}
    for row in rows:
        said = getattr(form, row.name)
        if said is not None and said.strip() != row.now:
            changed[row.name] = RESET if said.strip() in ("", row.file) else _setting(said.strip(), row)
    if not changed:
        raise ConfigurationError("nothing was changed: every field says what is in force")
    return PolicyRequest(
        regions={region: changed},
        share=form.share / 100,
        guard=_guard(region, form),
        promote_after_s=_seconds(form.promote_after, "promote after"),
        reason=form.reason,
        dry_run=False,
    )


def switch_request(form: SwitchForm) -> PolicyRequest:
    """Return the change that the switches' form asks for."""
    switch = Switch(layer=form.layer, region=form.region, tenant=form.tenant, prefix=form.prefix)
    if form.act == "on":
        return PolicyRequest(on=[switch], reason=form.reason, dry_run=False)
    return PolicyRequest(off=[switch], reason=form.reason, dry_run=False)


def _guard(region: str, form: RegionForm) -> Guard | None:
    drop, growth = _number(form.hit_rate_drop, "hit rate drop"), _number(form.load_growth, "load growth")
    p99_s = _seconds(form.p99, "p99")
    if drop is None and growth is None and p99_s is None:
        return None
    return Guard(
        most_hit_rate_drop=None if drop is None else drop / 100,
        most_p99_s=p99_s,
        most_load_growth=growth,
        window_s=_seconds(form.window, "window") or 30.0,
        least_requests=form.least_requests,
        region=region,
    )


def _text(value: Any, kind: Kind) -> str:
    if value is None:
        return "none"
    if kind == "duration":
        return format_duration(value)
    if kind == "flag":
        return "yes" if value else "no"
    return f"{value * 100 if kind == 'percent' else value:.6g}"


def _setting(text: str, row: FieldRow) -> Setting:
    if row.kind == "duration":
        return text
    if row.kind == "flag":
        return text == "yes"
    number = _number(text, row.label)
    assert number is not None
    return number / 100 if row.kind == "percent" else number


def _number(text: str, label: str) -> float | None:
    if not text.strip():
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigurationError(f"{label}: {text!r} is no number")
    return number


def _seconds(text: str, label: str) -> float | None:
    if not text.strip():
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ConfigurationError(f"{label}: {error}") from error
