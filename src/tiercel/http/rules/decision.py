"""
Decisions: what a shared cache does with a request, and later with the origin's answer.

::

    request ──plan──► SERVE                 the stored response
                      SERVE_AND_REFRESH     the stored response, and one refresh in the background
                      VALIDATE ──┐          ask the origin whether the stored response is still good
                      FETCH    ──┤          nothing to serve: ask, and store what may be stored
                      PASS     ──┤          none of the cache's business: ask, store nothing
                      REFUSE     │          504: the client wants a stored response or nothing
                                 ▼
    answer ──conclude──► RELAY              send it on; store it too where `storable`
                         SERVE_FRESHENED    304: the stored response, with its new fields
                         SERVE_STALE        5xx or no answer, and the origin allows stale
                         REFETCH            a 304 that does not fit: ask again, without conditions

Time is an argument everywhere; nothing here reads a clock or touches a storage.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tiercel.http.rules.conditions import CONDITIONS, confirms, freshened, validating
from tiercel.http.rules.directives import Directives, response_directives
from tiercel.http.rules.freshness import forbids_stale
from tiercel.http.rules.headers import Headers
from tiercel.http.rules.messages import EdgeOptions, Request, Response, StoredResponse
from tiercel.http.rules.ranges import Unsatisfiable, requested_span, slice_of
from tiercel.http.rules.storing import refusal
from tiercel.http.rules.variants import match

__all__ = ["Action", "Next", "Plan", "Verdict", "conclude", "filling", "plan", "without_answer"]

_ORIGIN_FAILURES = frozenset({500, 502, 503, 504})


class Action(enum.Enum):
    """What to do with a request."""

    SERVE = "serve"
    SERVE_AND_REFRESH = "serve and refresh"
    VALIDATE = "validate"
    FETCH = "fetch"
    PASS = "pass"  # noqa: S105  # a verb, no password
    REFUSE = "refuse"


class Next(enum.Enum):
    """What to do with the origin's answer."""

    RELAY = "relay"
    SERVE_FRESHENED = "serve freshened"
    SERVE_STALE = "serve stale"
    REFETCH = "refetch"


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What to do with a request.

    Args:
        action: The decision.
        stored: The stored response that it is about, where there is one.
        forward: Request fields for the origin, where it is asked now or in the background.
        reason: Why the origin is asked, in the words of RFC 9211 section 2.2.
    """

    action: Action
    stored: StoredResponse | None
    forward: Headers
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What to do with an answer.

    Args:
        next: The decision.
        stored: What to serve and, where freshened, to put in place of the old; None for a relayed answer.
        storable: Whether a relayed answer is to be stored once its content is complete.
        refusal: Why it is not, for ``Cache-Status``.
    """

    next: Next
    stored: StoredResponse | None = None
    storable: bool = False
    refusal: str | None = None


def plan(request: Request, variants: Sequence[StoredResponse], options: EdgeOptions, now: float) -> Plan:
    """Decide what to do with *request*, given the stored responses of its URL."""
    forward = request.headers
    wishes = Directives.parse(request.headers.get("cache-control"))
    reason = _pass_reason(request, wishes, options)
    if reason:
        return Plan(Action.PASS, None, forward, reason)
    selected = match(variants, request)
    usable = next((stored for stored in selected if _holds(stored, request)), None)
    if usable is not None:
        decided = _plan_with(usable, request, wishes, options, now)
    else:
        decided = _plan_without(selected, bool(variants), request)
    if "only-if-cached" in wishes and decided.action in (Action.VALIDATE, Action.FETCH):
        return Plan(Action.REFUSE, None, forward, decided.reason)
    return decided


def filling(decided: Plan, request: Request) -> Plan:
    """
    Return a fetch that asks for the whole whatever copy the client has, where the answer may come to be stored.

    The client's own conditions are then answered from what was stored. A range keeps its ``If-Range``.
    """
    if request.method != "GET" or "range" in request.headers or "cookie" in request.headers:
        return decided
    return replace(decided, forward=decided.forward.without(CONDITIONS))


def conclude(
    request: Request, decided: Plan, answer: Response, options: EdgeOptions, sent_at: float, received_at: float
) -> Verdict:
    """Decide what to do with *answer*, which the origin gave to the request that *decided* sent."""
    stored = decided.stored
    if answer.status in _ORIGIN_FAILURES and _may_serve_on_error(stored, received_at):
        return Verdict(Next.SERVE_STALE, stored)
    if answer.status == 304 and decided.action in (Action.VALIDATE, Action.SERVE_AND_REFRESH) and stored is not None:
        if not confirms(answer, stored):
            return Verdict(Next.REFETCH)
        return Verdict(Next.SERVE_FRESHENED, freshened(stored, answer, options, sent_at, received_at))
    if decided.action is Action.PASS and request.method != "POST":
        return Verdict(Next.RELAY, refusal=decided.reason)
    why_not = refusal(request, answer, options, received_at)
    return Verdict(Next.RELAY, storable=why_not is None, refusal=why_not)


def without_answer(decided: Plan, now: float) -> Verdict | None:
    """Return what to serve where the origin gave no answer at all, or None where there is nothing."""
    return Verdict(Next.SERVE_STALE, decided.stored) if _may_serve_on_error(decided.stored, now) else None


def _pass_reason(request: Request, wishes: Directives, options: EdgeOptions) -> str:
    if request.method not in ("GET", "HEAD"):
        return "method"
    # A body on a GET is not in the key, but some origins read it.
    if request.has_body or "if-match" in request.headers or "if-unmodified-since" in request.headers:
        return "bypass"
    if "authorization" in request.headers and not options.share_authorized:
        return "bypass"
    return "request" if "no-store" in wishes else ""


def _holds(stored: StoredResponse, request: Request) -> bool:
    """Say whether *stored* has all the bytes that *request* wants."""
    if stored.span is None:
        return True
    wanted = requested_span(request.headers.get("range"), stored.span.total)
    if wanted is None or isinstance(wanted, Unsatisfiable) or "if-range" in request.headers:
        return False
    return slice_of(stored, wanted) is not None


def _plan_with(stored: StoredResponse, request: Request, wishes: Directives, options: EdgeOptions, now: float) -> Plan:
    reload_wanted = options.honour_reload and _wants_newer(stored, request, wishes, now)
    staleness_s = stored.staleness_s(now)
    if not reload_wanted:
        if staleness_s < 0:
            return Plan(Action.SERVE, stored, request.headers)
        if staleness_s < stored.while_revalidate_s:
            return Plan(Action.SERVE_AND_REFRESH, stored, validating(request.headers, stored), "stale")
        if options.honour_reload and _accepts_stale(stored, wishes, options, staleness_s):
            return Plan(Action.SERVE, stored, request.headers)
    reason = "request" if staleness_s < 0 else "stale"
    if request.method == "HEAD" or stored.span is not None or not stored.has_validator:
        return Plan(Action.FETCH, stored, request.headers, reason)
    return Plan(Action.VALIDATE, stored, validating(request.headers, stored), reason)


def _plan_without(selected: Sequence[StoredResponse], has_variants: bool, request: Request) -> Plan:
    forward = request.headers
    if selected:
        return Plan(Action.FETCH, None, forward, "partial")
    return Plan(Action.FETCH, None, forward, "vary-miss" if has_variants else "uri-miss")


def _wants_newer(stored: StoredResponse, request: Request, wishes: Directives, now: float) -> bool:
    pragma = "cache-control" not in request.headers and "no-cache" in (request.headers.get("pragma") or "").lower()
    if "no-cache" in wishes or pragma:
        return True
    age = stored.age_s(now)
    max_age, min_fresh = wishes.seconds("max-age"), wishes.seconds("min-fresh")
    too_old = max_age is not None and age >= max_age
    return too_old or (min_fresh is not None and stored.lifetime_s - age < min_fresh)


def _accepts_stale(stored: StoredResponse, wishes: Directives, options: EdgeOptions, staleness_s: float) -> bool:
    if "max-stale" not in wishes or stored.expired_at is not None:
        return False
    if forbids_stale(response_directives(stored.headers, options.targets)):
        return False
    return wishes.is_bare("max-stale") or staleness_s < (wishes.seconds("max-stale") or 0)


def _may_serve_on_error(stored: StoredResponse | None, now: float) -> bool:
    return stored is not None and stored.staleness_s(now) < stored.if_error_s
