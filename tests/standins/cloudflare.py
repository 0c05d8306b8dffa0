"""
Cloudflare's purge API as its documentation describes it: bearer token, 100 of one selector a call, a token bucket by
plan, ``purge_cache`` to remove and ``invalidate_cache`` to mark stale.
"""

from __future__ import annotations

import json
import threading
from typing import Any

from tests.standins.serving import Reply, Request, Serving
from tiercel.typing import Clock

TOKEN = "cloudflare-token"
SELECTORS = ("files", "tags", "hosts", "prefixes")


class CloudflareStandIn(Serving):
    """
    One zone, ``Z1``. `purged` holds (selector, value, soft). The default rate is the free plan's: 5 a minute, 25 at
    once.
    """

    def __init__(self, clock: Clock, *, rate_per_s: float = 5 / 60, burst: int = 25) -> None:
        super().__init__(self._answer)
        self.purged: list[tuple[str, str, bool]] = []
        self.requests = 0
        self.throttled = 0
        self._clock = clock
        self._rate, self._burst, self._tokens, self._filled_s = rate_per_s, burst, float(burst), clock.monotonic()
        self._lock = threading.Lock()

    def _answer(self, request: Request) -> Reply:
        with self._lock:
            self.requests += 1
            if request.headers.get("authorization") != f"Bearer {TOKEN}":
                return _failure(403, 10000, "Authentication error")
            if not request.path.startswith("/client/v4/zones/Z1"):
                return _failure(404, 7003, "Could not route to the zone, perhaps your object identifier is invalid?")
            if request.method == "GET":
                return _success()
            return self._throttle() or self._purge(request)

    def _throttle(self) -> Reply | None:
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_s) * self._rate)
        self._filled_s = now
        if self._tokens < 1:
            self.throttled += 1
            wait_s = int((1 - self._tokens) / self._rate) + 1
            return _failure(429, 1134, "Unable to purge, rate limit reached", {"Retry-After": str(wait_s)})
        self._tokens -= 1
        return None

    def _purge(self, request: Request) -> Reply:
        soft = request.path.endswith("/invalidate_cache")
        body = json.loads(request.body)
        if body == {"purge_everything": True}:
            self.purged.append(("all", "", soft))
            return _success()
        if len(body) != 1 or next(iter(body)) not in SELECTORS:
            return _failure(400, 1012, "Request must contain one of purge_everything, files, tags, hosts or prefixes")
        selector, values = next(iter(body.items()))
        problem = _problem(selector, values)
        if problem:
            return _failure(400, 1094, problem)
        self.purged += [(selector, value, soft) for value in values]
        return _success()


def _problem(selector: str, values: list[str]) -> str:
    if not 1 <= len(values) <= 100:
        return f"at most 100 {selector} a request"
    if selector == "files" and not all(value.startswith(("http://", "https://")) for value in values):
        return "files must be whole URLs"
    if selector == "prefixes" and any("://" in value for value in values):
        return "a prefix has no scheme"
    if selector == "tags" and any(len(value) > 1024 or not value.isascii() for value in values):
        return "malformed tag"
    return ""


def _success() -> Reply:
    return _json(200, {"success": True, "errors": [], "messages": [], "result": {"id": "Z1"}})


def _failure(status: int, code: int, message: str, headers: dict[str, str] | None = None) -> Reply:
    return _json(status, {"success": False, "errors": [{"code": code, "message": message}], "result": None}, headers)


def _json(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})
