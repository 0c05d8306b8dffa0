"""
Conditional loads: a loader may ask for the copy that is to be renewed, and answer that it has not been modified.

The copy is offered in the loader's context alone. An answer of `NOT_MODIFIED` gives the entry new windows and moves no
value.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from tiercel._core.copy import NEGATIVE, Copy

_offered: ContextVar[Copy | None] = ContextVar("tiercel_stale_copy", default=None)


class StaleCopy(NamedTuple):
    """
    What a loader may compare its source with.

    Attributes:
        value: The value that the tiers hold. An ETag or a date of the source belongs into it, or into the version.
        version: The row's version; 0 where it has none.
    """

    value: Any
    version: int


def stale_copy() -> StaleCopy | None:
    """Return the copy that the load under way is to renew; None outside a load, and where there is none."""
    copy = _offered.get()
    return None if copy is None else StaleCopy(copy.value, copy.version)


@contextmanager
def offered(copy: Copy | None) -> Iterator[None]:
    """Offer *copy* to the loader that is called inside the block."""
    mark = _offered.set(None if copy is None or copy.value is NEGATIVE else copy)
    try:
        yield
    finally:
        _offered.reset(mark)
