"""
One HTTP request to a CDN, and how its answer is read; pure.

Status codes mean the same at every CDN: 429 asks for a slower pace, other 4xx refuse (401, 403 and 404 are the
account's or the zone's fault, the rest the items'), 5xx is the CDN's own trouble and is tried again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tiercel.cdn.faults import SendRefused, SendThrottled
from tiercel.errors import TierError, TierUnavailable

_ACCOUNT_FAULTS = frozenset({401, 403, 404, 405})


@dataclass(frozen=True, slots=True)
class HttpCall:
    """A request: method, path below the API's address, headers and body."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the body as an object; empty where it is none."""
        try:
            parsed = json.loads(self.body or b"{}")
        except ValueError:
            return {}
        return parsed if isinstance(parsed, dict) else {}


def json_call(path: str, headers: Mapping[str, str], content: Mapping[str, Any]) -> HttpCall:
    """Return a POST of *content* as JSON."""
    body = json.dumps(content, separators=(",", ":")).encode()
    return HttpCall("POST", path, {**headers, "Content-Type": "application/json", "Accept": "application/json"}, body)


def fault(who: str, answer: HttpAnswer, now: float, reason: str = "") -> TierError:
    """
    Return the error that *answer* stands for.

    Args:
        who: The CDN's name.
        answer: An answer that is no success.
        now: Seconds since the epoch, to turn a time of reset into a pause.
        reason: What the CDN's body says.
    """
    text = f"{who} answered {answer.status}" + (f": {reason}" if reason else "")
    if answer.status == 429:
        return SendThrottled(text, retry_after_s=retry_after_s(answer.headers, now))
    if 400 <= answer.status < 500:
        return SendRefused(text, items_at_fault=answer.status not in _ACCOUNT_FAULTS)
    return TierUnavailable(text, tier="cdn", operation="purge")


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """
    Return the pause that the CDN asks for: ``Retry-After`` in seconds, or Fastly's time of reset; None where it names
    none.
    """
    seconds = headers.get("retry-after", "")
    if seconds.isdigit():
        return float(seconds)
    reset = headers.get("fastly-ratelimit-reset", "")
    return max(0.0, float(reset) - now) if reset.isdigit() else None
