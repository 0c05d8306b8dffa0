"""Requests that nobody means well with: odd text in every field of every endpoint is answered, never a server error."""

from __future__ import annotations

from typing import Any, get_origin
from urllib.parse import quote

import msgspec
import pytest

from tests.service.shop import Shop
from tiercel.service.app import TABLE
from tiercel.service.dispatch import Endpoint

ODD = [
    "",
    "\0",
    "é" * 300,
    "../../etc/passwd",
    "%00%ff",
    "{}",
    "x" * 10_000,
    "nan",
    "-1",
    "1e999",
    "\u202e",
    "' OR 1=1 --",
]


def filled(kind: type[msgspec.Struct] | None, text: str) -> dict[str, Any]:
    """Return fields of *kind* with *text* in each."""
    if kind is None:
        return {}
    fields = msgspec.structs.fields(kind)
    return {field.name: [text] if get_origin(field.type) is list else text for field in fields}


def variants(endpoint: Endpoint, text: str) -> list[dict[str, Any]]:
    """Return bodies of *endpoint*: odd everywhere, and odd beside what is right."""
    good = {"region": "page", "tenant": "acme", "kind": "key", "name": "page", "dry_run": False, "act": "yes"}
    body = filled(endpoint.body, text)
    return [body, {name: good.get(name, value) for name, value in body.items()}]


@pytest.mark.parametrize("text", ODD, ids=lambda text: ascii(text[:12]))
async def test_odd_text_is_answered(shop: Shop, text: str) -> None:
    part = quote(text, safe="") or "-"
    failed = []
    async with shop.client("admin") as client:
        for endpoint in TABLE:
            if endpoint.path in ("/sign-in", "/sign-out"):
                continue
            path = endpoint.path.replace("{region}", part).replace("{id}", part)
            if endpoint.method == "GET":
                query = filled(endpoint.query, text)
                answers = [
                    await client.get(path, params={**query, **more})
                    for more in ({}, {"region": "page", "tenant": "acme"})
                ]
            elif endpoint.is_page:
                token = {"csrf": client.headers["X-CSRF-Token"]}
                answers = [await client.post(path, data={**body, **token}) for body in variants(endpoint, text)]
            else:
                answers = [await client.post(path, json=body) for body in variants(endpoint, text)]
            failed += [(endpoint.method, endpoint.path, one.status_code) for one in answers if one.status_code >= 500]
    assert failed == []
