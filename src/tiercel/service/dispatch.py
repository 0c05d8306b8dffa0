"""
Dispatch: from a request to an endpoint's answer, with the gate in front, the audit log around, and errors as answers.

An endpoint is a row of a table (`Endpoint`); the routes, the OpenAPI document and the role of each come from there, so
that none can be had without its check.
"""

from __future__ import annotations

import functools
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, get_origin
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tiercel._paired import async_run_blocking
from tiercel.errors import ClosedError, ConfigurationError, StoreError, TenantRequired, TierError
from tiercel.service.audit import AuditRecord, target_of
from tiercel.service.desk import Desk
from tiercel.service.gate import (
    Refusal,
    Who,
    address_of,
    check_host,
    check_role,
    check_same_origin,
    check_token,
    identify,
)
from tiercel.service.render import render
from tiercel.service.users import Role

__all__ = ["Call", "Endpoint", "Page", "Redirect", "routes_of"]

_log = logging.getLogger("tiercel.service")
MOST_BODY_BYTES: Final = 256 * 1024
JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Page:
    """An answer in HTML: a template and what it shows."""

    template: str
    shown: dict[str, Any]
    status: int = 200


@dataclass(frozen=True, slots=True)
class Redirect:
    """An answer that sends the browser elsewhere on this service."""

    path: str


@dataclass(frozen=True, slots=True)
class Call:
    """
    One request that passed the gate.

    Args:
        request: As it came.
        desk: What to work with.
        user: Who asks; None only where nobody has to sign in.
        body: The decoded body or form, of the endpoint's type.
        query: The decoded query, of the endpoint's type.
    """

    request: Request
    desk: Desk
    user: Who | None
    body: Any = None
    query: Any = None

    @property
    def by(self) -> str:
        """The user's name."""
        return "" if self.user is None else self.user.name

    def part(self, name: str) -> str:
        """Return a named part of the path."""
        return str(self.request.path_params[name])


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """
    One thing that can be asked.

    Args:
        method: POST for what changes something or shows a value.
        path: Starlette's spelling, ``{name}`` for a part.
        answer: What is done; returns a value to be sent as JSON, a `Page`, a `Redirect`, or a whole response.
        summary: One sentence for the OpenAPI document.
        role: Least role; None for everybody, signed in or not.
        body: Type of the body; a form for pages, JSON else.
        query: Type of the query.
        result: Type of the answer, for the OpenAPI document.
        is_page: It answers a browser: errors are pages, and who is not signed in is asked to.
    """

    method: Literal["GET", "POST"]
    path: str
    answer: Callable[[Call], Awaitable[Any]]
    summary: str = ""
    role: Role | None
    body: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    result: Any = None
    is_page: bool = False


def routes_of(endpoints: Iterable[Endpoint], desk: Desk) -> list[Route]:
    """Return the routes of a table."""
    return [
        Route(each.path, functools.partial(_handled, endpoint=each, desk=desk), methods=[each.method])
        for each in endpoints
    ]


async def _handled(request: Request, *, endpoint: Endpoint, desk: Desk) -> Response:
    who: Who | None = None
    try:
        check_host(request, desk)
        who = identify(request, desk)
        if endpoint.is_page and endpoint.role is not None and who is None and endpoint.method == "GET":
            return RedirectResponse("/sign-in", 303)
        result = await _carried_out(request, endpoint, desk, who)
    except Exception as error:  # every failure of a request is an answer to it
        return _failed(error, endpoint, desk, who)
    return _response(result, desk, who)


async def _carried_out(request: Request, endpoint: Endpoint, desk: Desk, who: Who | None) -> Any:
    if endpoint.method == "GET":
        if endpoint.role is not None:
            check_role(who, endpoint.role)
        return await endpoint.answer(Call(request, desk, who, query=_query(request, endpoint)))
    check_same_origin(request)
    if endpoint.role is None:
        _, body = await _body(request, endpoint)
        return await endpoint.answer(Call(request, desk, who, body))
    return await _changed(request, endpoint, desk, who, endpoint.role)


async def _changed(request: Request, endpoint: Endpoint, desk: Desk, who: Who | None, role: Role) -> Any:
    """Carry out a change: role, token and audit line first; then what is asked, and how it ended."""
    record = AuditRecord(
        at_s=time.time(),
        id=secrets.token_hex(6),
        user="" if who is None else who.name,
        role="" if who is None else who.role,
        address=address_of(request),
        action=f"{request.method} {request.url.path[:200]}",
        target="",
        outcome="asked",
    )
    try:
        allowed = check_role(who, role)
        token, body = await _body(request, endpoint)
        check_token(request, desk, allowed, token)
        record = msgspec.structs.replace(record, target=target_of(body))
        await async_run_blocking(desk.audit.write, record)
        result = await endpoint.answer(Call(request, desk, who, body, _query(request, endpoint)))
    except Exception as error:
        await _note_outcome(desk, record, _message(error)[1])
        raise
    await _note_outcome(desk, record, "done")
    return result


async def _note_outcome(desk: Desk, record: AuditRecord, outcome: str) -> None:
    await async_run_blocking(desk.audit.write, msgspec.structs.replace(record, at_s=time.time(), outcome=outcome))


async def _body(request: Request, endpoint: Endpoint) -> tuple[str | None, Any]:
    """Return the token of a form, and the decoded body."""
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MOST_BODY_BYTES:
            raise Refusal(413, f"the body is larger than {MOST_BODY_BYTES} bytes")
    if endpoint.body is None and not raw:
        return None, {}
    if not endpoint.is_page:
        if not request.headers.get("content-type", "").startswith(JSON):
            raise Refusal(415, f"send {JSON}")
        return None, _decoded(lambda: msgspec.json.decode(raw, type=endpoint.body or dict))
    try:
        pairs = parse_qsl(raw.decode("utf-8"), keep_blank_values=True, max_num_fields=1000)
    except ValueError as error:
        raise Refusal(400, f"the form cannot be read: {error}") from error
    token = next((value for name, value in pairs if name == "csrf"), "")
    return token, _struct([pair for pair in pairs if pair[0] != "csrf"], endpoint.body)


def _query(request: Request, endpoint: Endpoint) -> Any:
    return _struct(request.query_params.multi_items(), endpoint.query)


def _struct(pairs: list[tuple[str, str]], kind: type[msgspec.Struct] | None) -> Any:
    """Return the text fields *pairs* as *kind*; a field that is a list takes every value of its name."""
    if kind is None:
        return None
    lists = {field.name for field in msgspec.structs.fields(kind) if get_origin(field.type) is list}
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in lists:
            values.setdefault(name, []).append(value)
        else:
            values[name] = value
    return _decoded(lambda: msgspec.convert(values, kind, strict=False))


def _decoded(decode: Callable[[], Any]) -> Any:
    try:
        return decode()
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refusal(400, f"the request is not what is expected here: {error}") from error


def _response(result: Any, desk: Desk, who: Who | None) -> Response:
    if isinstance(result, Response):
        return result
    if isinstance(result, Redirect):
        return RedirectResponse(result.path, 303)
    if isinstance(result, Page):
        token = "" if who is None else desk.sessions.token(who.session)
        html = render(result.template, {**result.shown, "who": who, "csrf": token, "links": desk.links})
        return Response(html, result.status, media_type="text/html")
    return Response(msgspec.json.encode(result), media_type=JSON)


def _failed(error: Exception, endpoint: Endpoint, desk: Desk, who: Who | None) -> Response:
    status, message = _message(error)
    if status == 500:
        _log.exception("%s %s failed", endpoint.method, endpoint.path, exc_info=error)
    if endpoint.is_page:
        return _response(Page("error.html", {"status": status, "message": message}, status), desk, who)
    return Response(msgspec.json.encode({"error": message}), status, media_type=JSON)


def _message(error: Exception) -> tuple[int, str]:
    """Return the status of an error, and what may be said of it."""
    if isinstance(error, Refusal):
        return error.status, error.message
    if isinstance(error, (ConfigurationError, TenantRequired)):
        return 400, str(error)
    if isinstance(error, (TierError, StoreError, ClosedError)):
        return 503, str(error)
    return 500, "something went wrong here; the service's log says what"
