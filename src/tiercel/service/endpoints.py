"""
The endpoints of the REST interface, as one table: method, path, least role, types.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec
from starlette.responses import Response

from tiercel._paired import async_run_blocking
from tiercel.observe.health import Health
from tiercel.observe.prometheus import CONTENT_TYPE, exposition
from tiercel.observe.report import Report
from tiercel.observe.timeline import Point
from tiercel.options import RegionOptions
from tiercel.service.alerts import AlertsView, SilenceRequest, SilenceView
from tiercel.service.audit import AuditRecord
from tiercel.service.dispatch import Call, Endpoint
from tiercel.service.edges import EdgeView
from tiercel.service.invalidations import DryRun, Invalidation, ReceiptView
from tiercel.service.journals import DeadLetterView, JournalView
from tiercel.service.keys import KeyName, ValueView, explain_key, show_value
from tiercel.service.policies import PolicyChange, PolicyRequest, PolicyView, PromoteRequest, RollbackRequest

__all__ = ["ENDPOINTS", "RegionView", "region_views"]

DAY_S = 86_400.0


class SessionView(msgspec.Struct, frozen=True):
    """Who is signed in, and the token that changes must carry in the header ``X-CSRF-Token``."""

    user: str
    role: str
    csrf: str


class Liveness(msgspec.Struct, frozen=True):
    """Health in one word, for who is not signed in: no names and no reasons."""

    ok: bool


class TimelineQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far back, seconds; at most a day."""

    span_s: float = 3600.0


class LettersQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The id behind which to go on; the last one of the page before."""

    after: str = ""


class Letters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Dead letters by id."""

    ids: list[str]


class Changed(msgspec.Struct, frozen=True):
    """How many were concerned."""

    count: int


class RegionView(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the matrix; the store's URL is not shown, only whether there is one."""

    name: str
    tiers: list[str]
    strategy: str
    scope: str
    consistency: str
    ttl_s: float
    grace_s: float
    keep_s: float
    negative_ttl_s: float
    has_store: bool
    journal: str


async def _session(call: Call) -> SessionView:
    assert call.user is not None
    return SessionView(call.user.name, call.user.role, call.desk.sessions.token(call.user.session))


async def _report(call: Call) -> Report:
    return call.desk.report()


async def _health(call: Call) -> Health:
    return call.desk.cache.health()


async def _timeline(call: Call) -> list[Point]:
    span_s = min(max(call.query.span_s, 0.0), DAY_S)
    return call.desk.alerts.monitor.timeline.points(time.time() - span_s)


async def _matrix(call: Call) -> list[RegionView]:
    return region_views(list((await call.desk.policies.in_force()).values()))


async def _explain(call: Call) -> dict[str, Any]:
    return await explain_key(call.desk.cache, call.query)


async def _value(call: Call) -> ValueView:
    return await show_value(call.desk.cache, call.body)


async def _invalidate(call: Call) -> DryRun | ReceiptView:
    if call.body.dry_run:
        return await call.desk.invalidations.dry_run(call.body)
    return await call.desk.invalidations.carry_out(call.body, call.by)


async def _receipts(call: Call) -> list[ReceiptView]:
    return call.desk.invalidations.newest()


async def _receipt(call: Call) -> ReceiptView:
    return await call.desk.invalidations.receipt(call.part("id"))


async def _journals(call: Call) -> list[JournalView]:
    return await call.desk.journals.all()


async def _letters(call: Call) -> list[DeadLetterView]:
    return await call.desk.journals.dead_letters(call.part("region"), call.query.after)


async def _retry(call: Call) -> Changed:
    return Changed(await call.desk.journals.retry(call.part("region"), call.body.ids))


async def _drop(call: Call) -> Changed:
    return Changed(await call.desk.journals.drop(call.part("region"), call.body.ids))


async def _cdn(call: Call) -> EdgeView:
    return await call.desk.edges.view()


async def _replay(call: Call) -> Changed:
    return Changed(await call.desk.edges.replay())


async def _alerts(call: Call) -> AlertsView:
    return call.desk.alerts.view()


async def _silence(call: Call) -> SilenceView:
    return call.desk.alerts.silence(call.body, call.by)


async def _audit(call: Call) -> list[AuditRecord]:
    await async_run_blocking(call.desk.policies.note_automatic)
    return await async_run_blocking(call.desk.audit.newest)


async def _policy(call: Call) -> PolicyView:
    return await call.desk.policies.view()


async def _change_policy(call: Call) -> PolicyChange:
    return await call.desk.policies.change(call.body, call.by)


async def _promote_policy(call: Call) -> PolicyChange:
    return await call.desk.policies.promote(call.body, call.by)


async def _roll_policy_back(call: Call) -> PolicyChange:
    return await call.desk.policies.roll_back(call.body, call.by)


async def _metrics(call: Call) -> Response:
    return Response(exposition(call.desk.snapshot()), headers={"Content-Type": CONTENT_TYPE})


async def _live(call: Call) -> Response:
    return _liveness(call.desk.cache.health().live)


async def _ready(call: Call) -> Response:
    return _liveness(call.desk.cache.health().ready)


def _liveness(is_good: bool) -> Response:
    body = msgspec.json.encode(Liveness(is_good))
    return Response(body, 200 if is_good else 503, media_type="application/json")


def region_views(regions: list[RegionOptions]) -> list[RegionView]:
    """Return the rows of a matrix without what is secret in them."""
    return [
        RegionView(
            name=options.name,
            tiers=list(options.tiers),
            strategy=options.strategy,
            scope=options.scope,
            consistency=options.consistency,
            ttl_s=options.ttl_s,
            grace_s=options.grace_s,
            keep_s=options.keep_s,
            negative_ttl_s=options.negative_ttl_s,
            has_store=options.store is not None,
            journal="" if options.journal is None else options.journal.kind,
        )
        for options in regions
    ]


def _get(path: str, answer: Any, summary: str, result: Any, **others: Any) -> Endpoint:
    return Endpoint(
        method="GET", path=path, answer=answer, summary=summary, result=result, **{"role": "viewer", **others}
    )


def _post(path: str, answer: Any, summary: str, result: Any, **others: Any) -> Endpoint:
    return Endpoint(
        method="POST", path=path, answer=answer, summary=summary, result=result, **{"role": "operator", **others}
    )


ENDPOINTS: tuple[Endpoint, ...] = (
    _get("/health/live", _live, "Whether the process is worth keeping; 503 where not.", Liveness, role=None),
    _get("/health/ready", _ready, "Whether it may be sent traffic; 503 where not.", Liveness, role=None),
    _get("/metrics", _metrics, "Every figure in Prometheus's text format.", str, role=None),
    _get("/api/session", _session, "Who is signed in.", SessionView),
    _get("/api/report", _report, "The figures since the start.", Report),
    _get("/api/health", _health, "The health of every tier, with reasons.", Health),
    _get("/api/timeline", _timeline, "Figures over time.", list[Point], query=TimelineQuery),
    _get("/api/regions", _matrix, "The strategy matrix as it is in force.", list[RegionView]),
    _get("/api/policy", _policy, "The live policy: in force, on trial, who follows it, history.", PolicyView),
    _post(
        "/api/policy",
        _change_policy,
        "Say what would change, or with dry_run=false change it on the nodes.",
        PolicyChange,
        body=PolicyRequest,
    ),
    _post(
        "/api/policy/promote",
        _promote_policy,
        "Put what is on trial in force everywhere.",
        PolicyChange,
        body=PromoteRequest,
    ),
    _post(
        "/api/policy/rollback",
        _roll_policy_back,
        "Say what would be undone, or with dry_run=false undo it.",
        PolicyChange,
        body=RollbackRequest,
    ),
    _get("/api/keys", _explain, "What every tier holds of a key.", dict[str, Any], query=KeyName),
    _post("/api/keys/value", _value, "The value of a key, shortened.", ValueView, body=KeyName),
    _get("/api/invalidations", _receipts, "Receipts of this process, newest first.", list[ReceiptView]),
    _get("/api/invalidations/{id}", _receipt, "How far an invalidation is.", ReceiptView),
    _post(
        "/api/invalidations",
        _invalidate,
        "Say what would fall, or with dry_run=false make it fall.",
        DryRun | ReceiptView,
        body=Invalidation,
    ),
    _get("/api/journals", _journals, "What waits in the journals.", list[JournalView]),
    _get(
        "/api/journals/{region}/dead-letters",
        _letters,
        "Writes that the store refused for good.",
        list[DeadLetterView],
        query=LettersQuery,
    ),
    _post("/api/journals/{region}/retry", _retry, "Queue dead letters again.", Changed, body=Letters),
    _post(
        "/api/journals/{region}/drop", _drop, "Throw dead letters away for good.", Changed, body=Letters, role="admin"
    ),
    _get("/api/cdn", _cdn, "Purges, their cost, and what the CDN refused.", EdgeView),
    _post("/api/cdn/replay", _replay, "Ask again for every refused purge.", Changed),
    _get("/api/alerts", _alerts, "Rules, alerts and silences.", AlertsView),
    _post("/api/alerts/silences", _silence, "Silence alerts for a while.", SilenceView, body=SilenceRequest),
    _get("/api/audit", _audit, "The last changes that were asked for.", list[AuditRecord], role="admin"),
)
