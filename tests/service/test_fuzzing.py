"""
Requests made from the OpenAPI document, right and wrong ones: no server error, and no answer that it does not announce.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Err
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.service.serving import served
from tests.service.shop import Shop

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
RIGHT, WRONG = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE


def fuzz(address: str, headers: dict[str, str], examples: int) -> Counter[tuple[str, int]]:
    """Send *examples* right and as many wrong requests to each operation; return statuses by operation."""
    schema = schemathesis.openapi.from_url(address + "/openapi.json")
    seen: Counter[tuple[str, int]] = Counter()

    def send(case: Any) -> None:
        response = case.call(headers=headers, timeout=20.0)
        seen[case.operation.label, response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    for found in schema.get_all_operations():
        if isinstance(found, Err):
            raise found.err()
        operation = found.ok()
        for mode in (RIGHT, WRONG):
            asking = given(case=operation.as_strategy(generation_mode=mode))(send)
            with suppress(*([Unsatisfiable] if mode is WRONG else [])):  # nothing can be wrong where nothing is asked
                settings(
                    max_examples=examples,
                    derandomize=True,
                    database=None,
                    deadline=None,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                )(asking)()
    return seen


@pytest.mark.slow
async def test_no_request_that_the_document_allows_or_forbids_fails_the_service(shop: Shop) -> None:
    async with served(shop) as address, shop.client("admin") as client:
        cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        headers = {"Cookie": cookies, "X-CSRF-Token": client.headers["X-CSRF-Token"]}
        seen = await asyncio.to_thread(fuzz, address, headers, 5)
    assert sum(seen.values()) > 100
    answered = {label for label, status in seen if status == 200}
    assert len(answered) > len({label for label, _ in seen}) // 2
