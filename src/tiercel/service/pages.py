"""
The pages of the dashboard, as one table; each shows what an endpoint answers, and its forms do what endpoints do.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from tiercel._paired import async_run_blocking
from tiercel.service.alerts import SilenceRequest
from tiercel.service.charts import SPAN_S, charts_of
from tiercel.service.dispatch import Call, Endpoint, Page, Redirect
from tiercel.service.endpoints import region_views
from tiercel.service.invalidations import Invalidation, Kind
from tiercel.service.keys import KeyName, explain_key, show_value
from tiercel.service.policypages import POLICY_PAGES

__all__ = ["PAGES"]


class KeyForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The key that the inspector is asked for; empty at first."""

    region: str = ""
    tenant: str = ""
    key: str = ""


class InvalidationForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the console's form says; tags are parted by spaces."""

    kind: Kind = "entity"
    tenant: str = ""
    name: str = ""
    key: str = ""
    tags: str = ""
    act: str = ""


class LettersForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Dead letters that were ticked."""

    ids: list[str] = []


class NoForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A form with nothing but its button."""


class SilenceForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be silenced, for how many minutes."""

    rule: str = "*"
    region: str = "*"
    minutes: float = 60.0
    reason: str = ""


async def _overview(call: Call) -> Page:
    now = time.time()
    points = call.desk.alerts.monitor.timeline.points(now - SPAN_S)
    firing = [alert for alert in call.desk.alerts.view().alerts if alert.phase == "firing"]
    shown = {"report": call.desk.report(), "health": call.desk.cache.health(), "firing": firing}
    return Page("overview.html", {**shown, "charts": charts_of(points, now), "points": len(points)})


async def _regions(call: Call) -> Page:
    rows = region_views(list((await call.desk.policies.in_force()).values()))
    return Page("regions.html", {"rows": rows, "report": call.desk.report()})


async def _tenants(call: Call) -> Page:
    counted: dict[str, dict[str, int]] = {}
    for tenants in call.desk.report().tenants.values():
        for tenant, outcomes in tenants.items():
            sums = counted.setdefault(tenant, {})
            for outcome, count in outcomes.items():
                sums[outcome] = sums.get(outcome, 0) + count
    columns = sorted({outcome for sums in counted.values() for outcome in sums})
    rows = sorted(counted.items(), key=lambda row: -sum(row[1].values()))
    return Page("tenants.html", {"rows": rows, "outcomes": columns})


async def _inspector(call: Call) -> Page:
    asked: KeyForm = call.query
    known = None
    if asked.region and asked.tenant and asked.key:
        name = KeyName(region=asked.region, tenant=asked.tenant, key=asked.key)
        known = await explain_key(call.desk.cache, name)
    return _inspected(call, asked, known, None)


async def _inspector_value(call: Call) -> Page:
    asked: KeyForm = call.body
    name = KeyName(region=asked.region, tenant=asked.tenant, key=asked.key)
    value = await show_value(call.desk.cache, name)
    return _inspected(call, asked, await explain_key(call.desk.cache, name), value)


def _inspected(call: Call, asked: KeyForm, known: dict[str, Any] | None, value: Any) -> Page:
    tiers = {name: known[name] for name in ("local", "redis") if known and name in known}
    fields = list(dict.fromkeys(field for tier in tiers.values() for field in tier))
    shown = {"asked": asked, "known": known, "tiers": tiers, "fields": fields, "value": value}
    return Page("inspector.html", {**shown, "regions": list(call.desk.matrix.regions)})


async def _console(call: Call) -> Page:
    return _console_page(call, InvalidationForm(), None)


async def _invalidate(call: Call) -> Page | Redirect:
    asked: InvalidationForm = call.body
    request = Invalidation(
        kind=asked.kind,
        tenant=asked.tenant,
        name=asked.name,
        key=asked.key,
        tags=asked.tags.split(),
        dry_run=asked.act != "yes",
    )
    if request.dry_run:
        return _console_page(call, asked, await call.desk.invalidations.dry_run(request))
    receipt = await call.desk.invalidations.carry_out(request, call.by)
    return Redirect(f"/invalidate/{receipt.id}")


def _console_page(call: Call, asked: InvalidationForm, counted: Any) -> Page:
    shown = {"asked": asked, "counted": counted, "receipts": call.desk.invalidations.newest()}
    names = {"entities": list(call.desk.matrix.entities), "regions": list(call.desk.matrix.regions)}
    return Page("invalidate.html", {**shown, **names})


async def _receipt(call: Call) -> Page:
    return Page("receipt.html", {"receipt": await call.desk.invalidations.receipt(call.part("id"))})


async def _journals(call: Call) -> Page:
    journals = await call.desk.journals.all()
    letters = {one.region: await call.desk.journals.dead_letters(one.region) for one in journals if one.dead}
    return Page("journals.html", {"journals": journals, "letters": letters})


async def _retry(call: Call) -> Redirect:
    await call.desk.journals.retry(call.part("region"), call.body.ids)
    return Redirect("/journals")


async def _drop(call: Call) -> Redirect:
    await call.desk.journals.drop(call.part("region"), call.body.ids)
    return Redirect("/journals")


async def _cdn(call: Call) -> Page:
    return Page("cdn.html", {"edge": await call.desk.edges.view()})


async def _replay(call: Call) -> Redirect:
    await call.desk.edges.replay()
    return Redirect("/cdn")


async def _alerts(call: Call) -> Page:
    return Page("alerts.html", {"view": call.desk.alerts.view()})


async def _silence(call: Call) -> Redirect:
    asked: SilenceForm = call.body
    wanted = SilenceRequest(rule=asked.rule, region=asked.region, duration_s=asked.minutes * 60.0, reason=asked.reason)
    call.desk.alerts.silence(wanted, call.by)
    return Redirect("/alerts")


async def _audit(call: Call) -> Page:
    await async_run_blocking(call.desk.policies.note_automatic)
    return Page("audit.html", {"records": await async_run_blocking(call.desk.audit.newest)})


def _shown(path: str, answer: Any, **others: Any) -> Endpoint:
    return Endpoint(method="GET", path=path, answer=answer, is_page=True, **{"role": "viewer", **others})


def _form(path: str, answer: Any, body: type[msgspec.Struct], **others: Any) -> Endpoint:
    return Endpoint(method="POST", path=path, answer=answer, body=body, is_page=True, **{"role": "operator", **others})


PAGES: tuple[Endpoint, ...] = (
    _shown("/", _overview),
    _shown("/regions", _regions),
    *POLICY_PAGES,
    _shown("/tenants", _tenants),
    _shown("/inspector", _inspector, query=KeyForm),
    _form("/inspector", _inspector_value, KeyForm),
    _shown("/invalidate", _console, role="operator"),
    _form("/invalidate", _invalidate, InvalidationForm),
    _shown("/invalidate/{id}", _receipt),
    _shown("/journals", _journals),
    _form("/journals/{region}/retry", _retry, LettersForm),
    _form("/journals/{region}/drop", _drop, LettersForm, role="admin"),
    _shown("/cdn", _cdn),
    _form("/cdn/replay", _replay, NoForm),
    _shown("/alerts", _alerts),
    _form("/alerts/silence", _silence, SilenceForm),
    _shown("/audit", _audit, role="admin"),
)
