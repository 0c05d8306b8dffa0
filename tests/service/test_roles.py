"""Who may do what: every endpoint asked by everybody, and every change without its token."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.service.shop import Shop
from tiercel.service.app import TABLE
from tiercel.service.dispatch import Endpoint
from tiercel.service.users import ROLES

KEY = {"region": "page", "tenant": "acme", "key": "home"}
FALL = {"kind": "key", "tenant": "acme", "name": "page", "key": "home"}
LETTERS = {"ids": ["1"]}
SWITCH = {"layer": "local", "region": "page", "reason": "drill"}
BODIES: dict[str, dict[str, Any]] = {
    "/api/policy": {"off": [{"layer": "local"}]},
    "/policy/switch": SWITCH,
    "/api/keys/value": KEY,
    "/api/invalidations": FALL,
    "/api/journals/{region}/retry": LETTERS,
    "/api/journals/{region}/drop": LETTERS,
    "/inspector": KEY,
    "/invalidate": {**FALL, "act": "no"},
    "/journals/{region}/retry": LETTERS,
    "/journals/{region}/drop": LETTERS,
    "/sign-in": {"user": "nobody", "password": "wrong"},
}
# What an allowed request is answered that has nothing to work on here: no such receipt, no edge.
NOTHING_THERE = {("GET", "/api/invalidations/{id}"), ("GET", "/invalidate/{id}")}
NOTHING_THERE |= {("POST", "/api/cdn/replay"), ("POST", "/cdn/replay")}
# Nothing is on trial, nothing was changed by then, the form says what is in force.
NOTHING_THERE |= {("POST", path) for path in ("/api/policy/promote", "/policy/promote", "/api/policy/rollback")}
NOTHING_THERE |= {("POST", "/regions/{region}")}


async def ask(client: httpx.AsyncClient, endpoint: Endpoint, token: str | None = None) -> httpx.Response:
    """Ask one endpoint with a body that fits it."""
    path = endpoint.path.replace("{region}", "price").replace("{id}", "none")
    if endpoint.method == "GET":
        return await client.get(path, params=KEY if path == "/api/keys" else None)
    body = BODIES.get(endpoint.path, {})
    headers = {} if token is None else {"X-CSRF-Token": token}
    if endpoint.is_page:
        sent = client.headers.get("X-CSRF-Token", "") if token is None else token
        return await client.post(path, data={**body, "csrf": sent}, headers=headers)
    return await client.post(path, json=body, headers=headers)


def expected(endpoint: Endpoint, role: str | None) -> set[int]:
    """Return what *role* is to be answered."""
    if endpoint.role is not None and role is None:
        return {303} if endpoint.is_page and endpoint.method == "GET" else {401}
    if endpoint.role is not None and role is not None and ROLES.index(role) < ROLES.index(endpoint.role):
        return {403}
    if (endpoint.method, endpoint.path) in NOTHING_THERE:
        return {400}
    if (endpoint.method, endpoint.path) == ("POST", "/sign-in"):
        return {401}
    return {200, 303}


@pytest.mark.parametrize("role", [None, *ROLES])
async def test_each_role_may_do_what_is_its_and_nothing_else(shop: Shop, role: str | None) -> None:
    wrong = []
    for endpoint in TABLE:
        async with shop.client(role) as client:
            answer = await ask(client, endpoint)
        if answer.status_code not in expected(endpoint, role):
            wrong.append((endpoint.method, endpoint.path, answer.status_code, answer.text))
    assert wrong == []


CHANGES = [one for one in TABLE if one.method == "POST" and one.role is not None]


async def test_a_change_without_the_sessions_token_is_refused(shop: Shop) -> None:
    async with shop.client("admin") as client, shop.client("operator") as other:
        for endpoint in CHANGES:
            assert (await ask(client, endpoint, token="")).status_code == 403, endpoint.path
            foreign = await ask(client, endpoint, token=other.headers["X-CSRF-Token"])
            assert foreign.status_code == 403, endpoint.path


async def test_a_change_from_another_site_is_refused(shop: Shop) -> None:
    for headers in ({"Origin": "https://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}):
        async with shop.client("admin") as client:
            client.headers.update(headers)
            for endpoint in CHANGES:
                assert (await ask(client, endpoint)).status_code == 403, endpoint.path


async def test_every_endpoint_has_a_role_unless_it_is_meant_for_everybody() -> None:
    open_to_all = {one.path for one in TABLE if one.role is None}
    assert open_to_all == {"/health/live", "/health/ready", "/metrics", "/openapi.json", "/sign-in"}
