# Generated from src/tiercel/_async/apiresponse.py by tools/unasync.py. Do not edit.
"""
API responses and pages that the application hands to the CDN by itself, instead of waiting to be asked for them.

::

    response = acme.cache_api_response("products/42", render, tags=["product:42"])
    response.path            # "/acme/api/products/42", where the CDN serves it
    response.persisted()

A response given as a function is computed here, and falls with every entry that it read; it is not published if one of
them falls meanwhile (`tiercel._sync.publication`). A response given as a value was computed before: inside a
computation that is being collected (a handler behind the page cache) it depends on what was read until then, elsewhere
on its tags alone, and what fell between its computing and this call goes unnoticed. So hand over the function where you
can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tiercel._sync.node import Place
from tiercel._sync.publication import Publication, Fence
from tiercel._sync.writer import Handle, Writer
from tiercel._dependencies import Collector, collecting, current
from tiercel._paired import call
from tiercel.errors import ConfigurationError
from tiercel.typing import Key


class ApiResponse:
    """
    A response that was handed to the CDN, or why it was not.

    Attributes:
        value: The response.
        path: Where the CDN serves it.
        why_not: Why it is not shared: ``private read``, ``mixed read``, ``too many dependencies``, ``tags unknown``
            (Redis did not answer) or ``overtaken`` by an invalidation; empty where it is.
    """

    __slots__ = ("_handle", "path", "value", "why_not")

    def __init__(self, value: Any, path: str, why_not: str, handle: Handle | None) -> None:
        self.value = value
        self.path = path
        self.why_not = why_not
        self._handle = handle

    def persisted(self, timeout_s: float | None = None) -> None:
        """Return once the CDN's origin has it, or what took its place; at once where the region writes through."""
        if self._handle is not None:
            self._handle.persisted(timeout_s)


@dataclass(frozen=True, slots=True)
class Hints:
    """What a caller says of a response: the hashes of its tags, and its ttl in seconds."""

    tags: tuple[int, ...]
    ttl_s: float


def publish_response(
    place: Place, writer: Writer, key: Key, response: Any, hints: Hints
) -> ApiResponse:
    """Compute and publish one response; see `Region.publish`."""
    if place.core.edge is None:
        raise ConfigurationError(f"region {place.core.options.name!r} has no CDN tier: add tiers = ['cdn']")
    place.name(key)
    before, where = writer.stamps(hints.tags), place.edge_path(key)
    value, found = _computed(response)
    why_not = "" if found is None else found.why_not_shared(before)
    if why_not:
        return ApiResponse(value, where, why_not, None)
    stamps = before if found is None else found.stamps_with(before)
    ttl_s = hints.ttl_s if found is None else min(hints.ttl_s, found.left_s)
    if place.core.is_derived_behind:
        handles = writer.write_stamped({key: value}, stamps, ttl_s)
        return ApiResponse(value, where, "", handles[0])
    fence = Fence(stamps=stamps, tags=hints.tags)
    is_published = Publication(place).put(key, value, fence, ttl_s)
    return ApiResponse(value, where, "" if is_published else "overtaken", None)


def _computed(response: Any) -> tuple[Any, Collector | None]:
    """Return the response and what was read for it; None where nobody can know."""
    if not callable(response):
        return response, current()
    with collecting() as found:
        value = call(response)
    return value, found
