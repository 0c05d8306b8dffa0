"""
Fastly's purge API as its documentation describes it: token, batches of 256 keys, keys of 1,024 bytes, soft purge,
hourly rate.
"""

from __future__ import annotations

import json
import threading

from tests.standins.serving import Reply, Request, Serving
from tiercel.typing import Clock

TOKEN = "fastly-token"


class FastlyStandIn(Serving):
    """One service, ``SU1``. `purged` holds (kind, value, soft); `left` is how many requests the hour still allows."""

    def __init__(self, clock: Clock, *, requests_hour: int = 100_000) -> None:
        super().__init__(self._answer)
        self.purged: list[tuple[str, str, bool]] = []
        self.requests = 0
        self.failing = 0
        self._clock = clock
        self._hourly = requests_hour
        self._left, self._reset_s = requests_hour, clock.wall() + 3600
        self._lock = threading.Lock()

    def _answer(self, request: Request) -> Reply:
        with self._lock:
            self.requests += 1
            if self.failing:
                self.failing -= 1
                return _reply(503, {"msg": "Service Unavailable"})
            if request.headers.get("fastly-key") != TOKEN:
                return _reply(401, {"msg": "Provided credentials are missing or invalid"})
            if request.method == "GET":
                known = request.path == "/service/SU1"
                return _reply(200, {"id": "SU1"}) if known else _reply(404, {"msg": "Record not found"})
            return self._rate() or self._purge(request)

    def _rate(self) -> Reply | None:
        if self._clock.wall() >= self._reset_s:
            self._left, self._reset_s = self._hourly, self._clock.wall() + 3600
        if self._left < 1:
            headers = {"Fastly-RateLimit-Remaining": "0", "Fastly-RateLimit-Reset": str(int(self._reset_s))}
            return _reply(429, {"msg": "Too many requests"}, headers)
        self._left -= 1
        return None

    def _purge(self, request: Request) -> Reply:
        soft = request.headers.get("fastly-soft-purge") == "1"
        if request.path == "/service/SU1/purge_all":
            self.purged.append(("all", "", False))
            return _reply(200, {"status": "ok"})
        if request.path.startswith("/purge/"):
            host, _, path = request.path.removeprefix("/purge/").partition("/")
            self.purged.append(("path", f"{host}/{path}", soft))
            return _reply(200, {"status": "ok", "id": "1-1"})
        if request.path == "/service/SU1/purge":
            return self._keys(json.loads(request.body)["surrogate_keys"], soft=soft)
        return _reply(404, {"msg": "Record not found"})

    def _keys(self, keys: list[str], *, soft: bool) -> Reply:
        if not 1 <= len(keys) <= 256:
            return _reply(400, {"msg": "Bad request", "detail": "at most 256 surrogate keys"})
        if any(len(key) > 1024 or " " in key for key in keys):
            return _reply(400, {"msg": "Bad request", "detail": "malformed surrogate key"})
        self.purged += [("tag", key, soft) for key in keys]
        return _reply(200, dict.fromkeys(keys, "1-1"))


def _reply(status: int, body: dict[str, str], headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})
