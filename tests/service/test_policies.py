"""The live policy through the service: changes, dry runs, roll-backs, what is refused, and what the audit log says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.service.shop import Shop, opened_shop
from tiercel._async.cache import AsyncCache
from tiercel._core.policy import Switch
from tiercel._core.policyguard import Guard
from tiercel._process import Process
from tiercel.errors import TierUnavailable
from tiercel.matrix import Matrix
from tiercel.service.app import service_app
from tiercel.service.policies import PolicyRequest
from tiercel.service.policyforms import RegionForm, field_rows, request_of
from tiercel.service.settings import ServiceSettings

TTL = {"regions": {"page": {"ttl": "7s"}}, "reason": "too stale"}


async def asked(shop: Shop, path: str, body: dict[str, Any] | None = None) -> Any:
    """Ask as an operator; return the JSON of a good answer."""
    async with shop.client("operator") as client:
        answer = await client.get(path) if body is None else await client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ttl_s(cache: AsyncCache) -> float:
    return cache.tenant("acme").region("page").options.ttl_s


async def test_a_change_is_said_first_then_done_then_undone(shop: Shop) -> None:
    said = await asked(shop, "/api/policy", TTL)
    assert said == {
        "dry_run": True,
        "version": 1,
        "action": "set",
        "changes": ["page.ttl_s: default → 7"],
        "is_on_trial": False,
    }
    assert ttl_s(shop.cache) == 60.0
    await asked(shop, "/api/policy", {**TTL, "dry_run": False})
    assert ttl_s(shop.cache) == 7.0
    page = shop.cache.tenant("acme").region("page")
    await page.set("home", "hello")
    assert 0 < (await page.ttl("home") or 0) <= 7.0
    regions = await asked(shop, "/api/regions")
    assert {one["name"]: one["ttl_s"] for one in regions}["page"] == 7.0
    await asked(shop, "/api/policy/rollback", {"dry_run": False})
    assert ttl_s(shop.cache) == 60.0
    view = await asked(shop, "/api/policy")
    assert [(entry["version"], entry["by"], entry["action"]) for entry in view["history"]] == [
        (2, "operator", "rollback"),
        (1, "operator", "set"),
    ]


async def test_a_trial_with_guard_rails_is_shown_and_promoted(shop: Shop) -> None:
    guard = {"most_hit_rate_drop": 0.1, "least_requests": 100}
    change = await asked(shop, "/api/policy", {**TTL, "guard": guard, "dry_run": False})
    assert change["is_on_trial"]
    view = await asked(shop, "/api/policy")
    assert (view["trial"]["share"], view["trial"]["changes"]) == (1.0, ["page.ttl_s: default → 7"])
    async with shop.client("viewer") as client:
        page = await client.get("/policy")
    assert "hit rate down by more than 10.0% over 30s, from 100 reads on" in page.text
    await asked(shop, "/api/policy/promote", {})
    assert (await asked(shop, "/api/policy"))["trial"] is None


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"regions": {"page": {"tiers": "redis"}}},
        {"regions": {"page": {"ttl": "soon"}}},
        {"regions": {"page": {"ttl": 1e300}}},
        {"regions": {"page": {"shadow_share": 0.1}}},
        {"regions": {"nowhere": {"ttl": "1m"}}},
        {"regions": {"page": {"local_ttl": "2m"}}},
        {"off": [{"layer": "cdn", "region": "page"}]},
        {"off": [{"layer": "local", "tenant": "a b"}]},
        {"off": [{"layer": "disk"}]},
        {**TTL, "share": 0},
        {**TTL, "guard": {}},
    ],
)
async def test_what_may_not_be_changed_live_is_refused_with_a_reason(shop: Shop, wrong: dict[str, Any]) -> None:
    async with shop.client("operator") as client:
        answer = await client.post("/api/policy", json=wrong)
    assert (answer.status_code, shop.cache.policy.version) == (400, 0)
    assert len(answer.json()["error"]) > 20


async def test_switches_are_set_and_taken_away_by_the_form(shop: Shop) -> None:
    async with shop.client("operator") as client:
        token = client.headers["X-CSRF-Token"]
        switch = {"layer": "redis", "region": "page", "prefix": "p:", "reason": "drill", "csrf": token}
        assert (await client.post("/policy/switch", data=switch)).status_code == 303
        assert "redis off for region page, keys p:…" in (await client.get("/policy")).text
        assert "redis off for region page, keys p:…" in (await client.get("/regions/page")).text
        assert shop.cache.policy.document.stable.switches == (Switch(layer="redis", region="page", prefix="p:"),)
        assert (await client.post("/policy/switch", data={**switch, "act": "on"})).status_code == 303
    assert not shop.cache.policy.document.stable.switches


async def test_what_guard_rails_did_is_in_the_audit_log_once(shop: Shop) -> None:
    policy = shop.cache.policy
    await policy.change({"page": {"ttl": "7s"}}, by="ada", guard=Guard(least_hit_rate=0.9))
    await policy.book.roll_back(by="guard rails on node-7", reason="hit rate 40.0% is below 90.0%", only=1)
    for _ in range(2):
        async with shop.client("admin") as client:
            records = (await client.get("/api/audit")).json()
    (record,) = [one for one in records if one["action"] == "policy rolled back"]
    assert record["user"] == "guard rails on node-7"
    assert record["outcome"] == "done: hit rate 40.0% is below 90.0%"
    again = service_app(shop.cache, shop.desk.settings).state.desk  # a service that was started anew
    again.policies.note_automatic()
    assert len([one for one in again.audit.newest() if one.action == "policy rolled back"]) == 1


async def test_pages_show_what_was_last_known_while_the_policy_cannot_be_reached(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asked(shop, "/api/policy", {**TTL, "dry_run": False})

    async def gone(*_: object) -> None:
        raise TierUnavailable("Redis is down")

    for verb in ("read", "version", "notes", "swap"):
        monkeypatch.setattr(shop.cache.policy.book.store, verb, gone)
    async with shop.client("operator") as client:
        page = (await client.get("/policy")).text
        assert "Redis is down" in page
        assert "page.ttl_s: default → 7" in page
        assert (await client.get("/regions")).status_code == (await client.get("/regions/page")).status_code == 200
        refused = await client.post("/api/policy", json={"off": [{"layer": "local"}], "dry_run": False})
    assert (refused.status_code, refused.json()) == (503, {"error": "Redis is down"})


async def test_a_form_changes_only_what_somebody_changed_in_it(shop: Shop) -> None:
    file = shop.cache.matrix.region("price")
    rows = field_rows(file, file)
    shown: dict[str, Any] = {row.name: row.now for row in rows}
    form = RegionForm(**{**shown, "ttl": "2m", "shadow_share": "5", "grace": ""}, hit_rate_drop="10", p99="50ms")
    request = request_of("price", form, rows)
    assert request.regions == {"price": {"ttl": "2m", "grace": "default", "shadow_share": 0.05}}
    assert request.guard == Guard(most_hit_rate_drop=0.1, most_p99_s=0.05, region="price")


async def test_a_service_beside_an_application_without_redis_changes_its_file(tmp_path: Path) -> None:
    async with opened_shop(tmp_path) as shop:
        beside = Matrix.of(*shop.cache.matrix.regions.values()).overlay(
            type(shop.cache.matrix.cache)(namespace="service-tests", state_dir=str(tmp_path / "service"))
        )
        async with AsyncCache(beside, process=Process()) as other:
            settings = ServiceSettings(state_dir=tmp_path / "service")
            desk = service_app(other, settings, shop.cache.matrix).state.desk
            await desk.policies.change(PolicyRequest(regions={"page": {"ttl": "7s"}}, dry_run=False), "ada")
            await shop.cache.policy.turn()
            assert ttl_s(shop.cache) == 7.0
