"""
Variants: which stored response of a URL answers a request (RFC 9111 section 4.1).

``Vary`` names the request fields that selected a response. Their values are normalised before they are compared,
because ``de, en`` and ``EN,de`` ask for the same thing and every needless variant is a miss.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tiercel.http.rules.headers import Headers
from tiercel.http.rules.messages import Request, StoredResponse

__all__ = ["match", "selecting_fields", "vary_names"]

_COMMA = re.compile(r"\s*,\s*")
_PREFERENCES = frozenset({"accept", "accept-charset", "accept-encoding", "accept-language"})


def vary_names(headers: Headers) -> tuple[str, ...] | None:
    """Return the request fields that ``Vary`` names, sorted, in lower case; None where ``*`` says all there are."""
    names = {name.strip().lower() for name in (headers.get("vary") or "").split(",")} - {""}
    return None if "*" in names else tuple(sorted(names))


def selecting_fields(names: Iterable[str], request: Headers) -> tuple[tuple[str, str], ...]:
    """Return the request fields called *names* with their normalised values; an absent field has an empty one."""
    return tuple((name, _normalised(name, request.get(name) or "")) for name in names)


def match(variants: Sequence[StoredResponse], request: Request) -> list[StoredResponse]:
    """Return those of *variants* that may answer *request*, the newest first."""
    matching = [variant for variant in variants if _selects(variant, request.headers)]
    return sorted(matching, key=lambda variant: variant.received_at, reverse=True)


def _selects(variant: StoredResponse, request: Headers) -> bool:
    return all(
        _normalised(name, request.get(name) or "") == value
        or (name == "accept-language" and _prefers_language(request, variant.headers))
        for name, value in variant.selecting
    )


def _normalised(name: str, value: str) -> str:
    value = _COMMA.sub(",", value.strip())
    if name not in _PREFERENCES:
        return value
    return ",".join(sorted(member for member in re.sub(r"\s+", "", value.lower()).split(",") if member))


def _prefers_language(request: Headers, stored: Headers) -> bool:
    """Say whether the one language of the stored response is the one that the request ranks first."""
    ranked = [_quality(member) for member in (request.get("accept-language") or "").lower().split(",")]
    best = max((quality for quality, _ in ranked), default=0.0)
    favourites = [language for quality, language in ranked if quality == best > 0]
    return len(favourites) == 1 and favourites[0] == (stored.get("content-language") or "").strip().lower()


def _quality(member: str) -> tuple[float, str]:
    language, _, parameter = member.partition(";")
    match_ = re.fullmatch(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", parameter)
    return (float(match_[1]) if match_ else 1.0), language.strip()
