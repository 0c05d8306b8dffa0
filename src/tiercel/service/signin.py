"""
Signing in and out: passwords checked at Argon2's pace, two at a time, and never more often than the limit allows.
"""

from __future__ import annotations

import secrets
import time

import msgspec
from starlette.responses import RedirectResponse, Response

from tiercel._paired import async_run_blocking
from tiercel.service.audit import AuditRecord
from tiercel.service.dispatch import Call, Endpoint, Page, Redirect
from tiercel.service.gate import address_of, cookie_name
from tiercel.service.users import User

__all__ = ["SIGN_IN"]


class SignInForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Name and password."""

    user: str = ""
    password: str = ""


class SignOutForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A form with nothing but its button."""


async def _form(call: Call) -> Page | Redirect:
    return Redirect("/") if call.user is not None else Page("sign_in.html", {"problem": "", "name": ""})


async def _sign_in(call: Call) -> Page | Redirect | Response:
    desk, asked = call.desk, call.body
    if desk.users is None:
        return Redirect("/")
    address, now = address_of(call.request), time.time()
    if not desk.attempts.allow(address, asked.user, time.monotonic()):
        await _note(call, asked.user, "", "too many attempts")
        return Page("sign_in.html", {"problem": "Too many attempts: wait a minute.", "name": asked.user}, 429)
    async with desk.password_checks:
        user = await async_run_blocking(desk.users.verify, asked.user, asked.password)
    if user is None:
        await _note(call, asked.user, "", "refused")
        return Page("sign_in.html", {"problem": "That name and password do not fit.", "name": asked.user}, 401)
    desk.attempts.succeed(address, asked.user)
    await _note(call, user.name, user.role, "done")
    return _with_cookie(call, user, now)


def _with_cookie(call: Call, user: User, now: float) -> Response:
    response = RedirectResponse("/", 303)
    response.set_cookie(
        cookie_name(call.desk),
        call.desk.sessions.begin(user, now),
        max_age=int(call.desk.settings.session_s),
        httponly=True,
        samesite="strict",
        secure=call.desk.settings.is_https,
    )
    return response


async def _sign_out(call: Call) -> Response:
    desk = call.desk
    session = desk.sessions.read(call.request.cookies.get(cookie_name(desk), ""), time.time())
    if session is not None:
        desk.sessions.end(session, time.time())
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(cookie_name(desk), httponly=True, samesite="strict", secure=desk.settings.is_https)
    return response


async def _note(call: Call, name: str, role: str, outcome: str) -> None:
    record = AuditRecord(
        at_s=time.time(),
        id=secrets.token_hex(6),
        user=name[:128],
        role=role,
        address=address_of(call.request),
        action="POST /sign-in",
        target="",
        outcome=outcome,
    )
    await async_run_blocking(call.desk.audit.write, record)


SIGN_IN: tuple[Endpoint, ...] = (
    Endpoint(method="GET", path="/sign-in", answer=_form, role=None, is_page=True),
    Endpoint(method="POST", path="/sign-in", answer=_sign_in, role=None, body=SignInForm, is_page=True),
    Endpoint(method="POST", path="/sign-out", answer=_sign_out, role="viewer", body=SignOutForm, is_page=True),
)
