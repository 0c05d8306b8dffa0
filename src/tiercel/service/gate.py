"""
The gate: who is asking, and whether they may, before anything else of a request is looked at.

Without a password file everybody who reaches the loopback address is the administrator ``local``; then only requests to
a loopback *name* are heard, so that no web page can reach the service through a name of its own (DNS rebinding). A
change must come from one of our pages: it carries the session's token, and no other site's origin.
"""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request

from tiercel.service.desk import Desk
from tiercel.service.settings import PROXY_SECRET_HEADER, is_loopback
from tiercel.service.users import ROLES, Role, User

__all__ = ["Refusal", "Who", "address_of", "check_host", "check_role", "check_same_origin", "check_token", "identify"]

LOCAL = "local"
CSRF_HEADER = "x-csrf-token"


class Refusal(Exception):
    """
    A request that is not carried out.

    Args:
        status: HTTP status.
        message: Why, for whoever asked.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Who:
    """
    Who is asking.

    Args:
        name: The user's.
        role: What they may do.
        session: What their change tokens belong to.
        can_sign_out: Whether they have a session here; a proxy's users have theirs at the proxy.
    """

    name: str
    role: Role
    session: str
    can_sign_out: bool = False

    def may(self, role: Role) -> bool:
        """Say whether *role* is theirs or below theirs."""
        return ROLES.index(self.role) >= ROLES.index(role)


def cookie_name(desk: Desk) -> str:
    """Return the session cookie's name; the prefix makes browsers hold it to TLS and to this host."""
    return "__Host-tiercel" if desk.settings.is_https else "tiercel"


def identify(request: Request, desk: Desk) -> Who | None:
    """Return who is asking; None where nobody is signed in."""
    if desk.users is None:
        return Who(LOCAL, "admin", LOCAL)
    return _by_session(request, desk) or _by_proxy(request, desk)


def _by_session(request: Request, desk: Desk) -> Who | None:
    session = desk.sessions.read(request.cookies.get(cookie_name(desk), ""), time.time())
    if session is None:
        return None
    user = _find(desk, session.user)
    if user is None or not desk.sessions.fits(session, user):
        return None
    return Who(user.name, user.role, session.id, can_sign_out=True)


def _by_proxy(request: Request, desk: Desk) -> Who | None:
    header, secret = desk.settings.proxy_user_header, desk.settings.proxy_secret
    if header is None or secret is None:
        return None
    given = request.headers.get(PROXY_SECRET_HEADER, "")
    if not hmac.compare_digest(given.encode(), secret.encode()):
        return None
    user = _find(desk, request.headers.get(header, ""))
    return None if user is None else Who(user.name, user.role, f"proxy:{user.name}")


def _find(desk: Desk, name: str) -> User | None:
    assert desk.users is not None
    return desk.users.find(name)


def check_host(request: Request, desk: Desk) -> None:
    """Refuse a name that is not loopback where nobody signs in."""
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    if desk.users is None and not is_loopback(host):
        raise Refusal(421, "without sign-in the service answers only to 127.0.0.1, [::1] and localhost")


def check_role(who: Who | None, role: Role) -> Who:
    """Return *who* where they may do what takes *role*."""
    if who is None:
        raise Refusal(401, "sign in first")
    if not who.may(role):
        raise Refusal(403, f"this takes the role {role}; {who.name} is {who.role}")
    return who


def check_same_origin(request: Request) -> None:
    """Refuse what another site's page sends."""
    origin = request.headers.get("origin")
    is_foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if is_foreign or request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise Refusal(403, "this came from another site")


def check_token(request: Request, desk: Desk, who: Who, form_token: str | None) -> None:
    """Refuse a change without the token of the session, in the form or in the header ``X-CSRF-Token``."""
    given = form_token if form_token is not None else request.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(given.encode(), desk.sessions.token(who.session).encode()):
        raise Refusal(403, "the form is too old or came from elsewhere: load the page again")


def address_of(request: Request) -> str:
    """Return the address that the request came from."""
    return request.client.host if request.client is not None else ""
