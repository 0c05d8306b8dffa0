"""
Keys of decorated calls: from a template, a function, or all arguments.

A key depends on the arguments alone and is the same in every process. In a template each value is escaped, so that
``"{a}:{b}"`` gives different keys for ("x:y", "z") and ("x", "y:z"); numbers stand as they print, so 1 and "1" are
one key there. Without a template the key holds the types too.
"""

from __future__ import annotations

import hashlib
import inspect
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec

from tiercel._core.keys import MAX_KEY_BYTES
from tiercel.errors import ConfigurationError, KeyRefused
from tiercel.typing import Key

PLAIN = (str, bytes, int, float, bool, type(None))
SAFE = " !$&'()*+,;=@-._~/"
_encoder = msgspec.msgpack.Encoder()


@dataclass(frozen=True, slots=True)
class CallKeys:
    """
    How one function's calls are named.

    Attributes:
        key: Gives the key of a call's arguments.
        tags: Gives the tags of a call's arguments.
    """

    key: Callable[..., Key]
    tags: Callable[..., tuple[str, ...]]


def key_maker(
    function: Callable[..., Any],
    key: str | Callable[..., Key] | None,
    tags: Sequence[str] = (),
    ignore_first: bool = False,
) -> CallKeys:
    """
    Return how calls of *function* are named.

    Args:
        function: What is decorated.
        key: Template, function of the arguments, or None for all arguments.
        tags: Templates.
        ignore_first: Leave the first argument out of the default key.

    Raises:
        ConfigurationError: a template names what is no parameter.
    """
    signature = inspect.signature(function)
    filled_tags = tuple(_template(signature, tag) for tag in tags)

    def make_tags(*args: Any, **kwargs: Any) -> tuple[str, ...]:
        return tuple(fill(*args, **kwargs) for fill in filled_tags)

    if isinstance(key, str):
        return CallKeys(_template(signature, key), make_tags)
    return CallKeys(key or _all_arguments(function, signature, ignore_first), make_tags)


def _template(signature: inspect.Signature, template: str) -> Callable[..., str]:
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise ConfigurationError(f"template {template!r}: {error}") from error
    for name in names:
        if name not in signature.parameters:
            known = ", ".join(signature.parameters) or "none"
            raise ConfigurationError(f"template {template!r} names {name!r}; the parameters are: {known}")

    def fill(*args: Any, **kwargs: Any) -> str:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return template.format_map({name: _escaped(bound.arguments[name]) for name in names})

    return fill


def _escaped(value: Any) -> str:
    if not isinstance(value, PLAIN):
        raise KeyRefused(f"a {type(value).__name__} cannot stand in a key template: give key= a function instead")
    text = value if isinstance(value, str) else value.hex() if isinstance(value, bytes) else repr(value)
    return quote(text, safe=SAFE) if not text.isalnum() else text


def _all_arguments(
    function: Callable[..., Any], signature: inspect.Signature, ignore_first: bool
) -> Callable[..., Key]:
    prefix = f"{function.__module__}.{function.__qualname__}".encode()

    def make(*args: Any, **kwargs: Any) -> bytes:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        values = list(bound.arguments.values())[int(ignore_first) :]
        encoded = prefix + b"\0" + _encoder.encode([_typed(value) for value in values])
        if len(encoded) <= MAX_KEY_BYTES:
            return encoded
        return prefix[:256] + b"\0" + hashlib.blake2b(encoded, digest_size=32).digest()

    return make


def _typed(value: Any) -> Any:
    """Return *value* so that values of different types differ in msgpack: a float stays a float, a tuple is marked."""
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, tuple):
        return ["tuple", *(_typed(item) for item in value)]
    if isinstance(value, list):
        return ["list", *(_typed(item) for item in value)]
    if isinstance(value, dict):
        return ["dict", *([_typed(key), _typed(value[key])] for key in value)]
    raise KeyRefused(
        f"an argument of type {type(value).__name__} has no stable form in a key: "
        "give cached() a key template or function"
    )
