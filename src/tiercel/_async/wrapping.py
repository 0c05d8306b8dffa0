"""
Decorated functions: hits answered by the local tier where there is one, everything else by the reader.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from tiercel.local.contract import LocalView
from tiercel.typing import Key

F = TypeVar("F", bound=Callable[..., Any])


def wrapped(
    view: LocalView | None, function: F, make_key: Callable[..., Key], slow: Callable[..., Any], ignore_first: bool
) -> F:
    """
    Return *function* cached.

    Args:
        view: The tenant's local copies; None where the region keeps none.
        function: What is decorated.
        make_key: Gives the key of a call's arguments.
        slow: Answers what is no local hit.
        ignore_first: The key does not depend on the first argument.
    """
    if view is not None:
        return cast("F", view.wrap_async(function, make_key, slow, ignore_first=ignore_first))

    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        return await slow(make_key(*args, **kwargs), args, kwargs)

    return cast("F", call)
