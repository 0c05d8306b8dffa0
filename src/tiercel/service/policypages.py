"""
The pages of the live policy: what is in force and on trial, one region's settings, and the forms that change them.
"""

from __future__ import annotations

from typing import Any, Final

from tiercel._core.durations import format_duration
from tiercel._core.policyguard import Guard
from tiercel.errors import ConfigurationError
from tiercel.service.dispatch import Call, Endpoint, Page, Redirect
from tiercel.service.policies import PromoteRequest, RollbackRequest
from tiercel.service.policyforms import RegionForm, RollbackForm, SwitchForm, field_rows, request_of, switch_request

__all__ = ["POLICY_PAGES"]


ACTIONS: Final = {
    "set": "changed",
    "trial": "put on trial",
    "promote": "put in force everywhere",
    "rollback": "rolled back",
    "guard": "rolled back by guard rails",
}


def guarded(guard: Guard) -> str:
    """Say what *guard* does not allow."""
    bounds = [
        None if guard.least_hit_rate is None else f"hit rate below {guard.least_hit_rate:.1%}",
        None if guard.most_hit_rate_drop is None else f"hit rate down by more than {guard.most_hit_rate_drop:.1%}",
        None if guard.most_p99_s is None else f"p99 above {format_duration(guard.most_p99_s)}",
        None if guard.most_load_growth is None else f"more than {guard.most_load_growth:g} times the loads",
        None if guard.most_loads_per_s is None else f"more than {guard.most_loads_per_s:g} loads/s",
    ]
    where = f" in {guard.region}" if guard.region else ""
    told = ", ".join(bound for bound in bounds if bound)
    return f"{told}{where} over {format_duration(guard.window_s)}, from {guard.least_requests:,} reads on"


async def _policy(call: Call) -> Page:
    shown = {"policy": await call.desk.policies.view(), "regions": list(call.desk.matrix.regions)}
    return Page("policy.html", {**shown, "words": ACTIONS, "guarded": guarded})


async def _region(call: Call) -> Page:
    file = call.desk.matrix.region(call.part("region"))
    policy = await call.desk.policies.view()
    rows = field_rows(file, (await call.desk.policies.in_force())[file.name])
    told = [entry for entry in policy.history if any(file.name in change for change in entry.changes)]
    switches = [switch for switch in policy.switches if switch.region in ("*", file.name)]
    shown = {"region": file, "rows": rows, "policy": policy, "history": told, "switches": switches}
    return Page("region.html", {**shown, "has_store": call.desk.policies.rows()[file.name].store is not None})


async def _change_region(call: Call) -> Redirect:
    file = call.desk.matrix.region(call.part("region"))
    rows = field_rows(file, (await call.desk.policies.in_force())[file.name])
    await call.desk.policies.change(request_of(file.name, call.body, rows), call.by)
    return Redirect(f"/regions/{file.name}")


async def _switch(call: Call) -> Redirect:
    await call.desk.policies.change(switch_request(call.body), call.by)
    return Redirect("/policy")


async def _promote(call: Call) -> Redirect:
    await call.desk.policies.promote(call.body, call.by)
    return Redirect("/policy")


async def _roll_back(call: Call) -> Redirect:
    asked: RollbackForm = call.body
    if asked.to and not asked.to.isdecimal():
        raise ConfigurationError(f"to={asked.to!r}: name a version of the history")
    to = int(asked.to[:18]) if asked.to else None
    await call.desk.policies.roll_back(RollbackRequest(to=to, reason=asked.reason, dry_run=False), call.by)
    return Redirect("/policy")


def _form(path: str, answer: Any, body: Any) -> Endpoint:
    return Endpoint(method="POST", path=path, answer=answer, body=body, is_page=True, role="operator")


POLICY_PAGES: tuple[Endpoint, ...] = (
    Endpoint(method="GET", path="/policy", answer=_policy, is_page=True, role="viewer"),
    Endpoint(method="GET", path="/regions/{region}", answer=_region, is_page=True, role="viewer"),
    _form("/regions/{region}", _change_region, RegionForm),
    _form("/policy/switch", _switch, SwitchForm),
    _form("/policy/promote", _promote, PromoteRequest),
    _form("/policy/rollback", _roll_back, RollbackForm),
)
