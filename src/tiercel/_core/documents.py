"""
The JSON spelling of values in stores that have no richer type: plain JSON, with ``$bytes`` and ``$datetime`` objects.

A user's own object whose key begins with ``$`` is escaped with one more ``$``, so that decoding gives back what was
encoded. Tuples come back as lists; keys of objects come back as strings; a datetime keeps its offset.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import json.encoder
from collections.abc import Callable
from typing import Any

from tiercel.errors import DecodeError, EncodeError

__all__ = ["decode_document", "encode_document"]


def encode_document(value: Any) -> str:
    """Return *value* as JSON text; raises `EncodeError` for what JSON cannot say (NaN, lone surrogates, objects)."""
    try:
        text = _encode(value)
        if '"$' in text and _has_marker(value):
            text = _encode(_escape(value))
        if not text.isascii():
            text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise EncodeError(f"the value cannot be stored as JSON: {error}") from error
    return text


def decode_document(text: str | bytes) -> Any:
    """Return the value that `encode_document` made *text* from; plain JSON of other writers is read as it is."""
    try:
        content = text.decode() if isinstance(text, bytes) else text
        # The hook is called for each object; most documents hold nothing for it.
        return (_DECODER if '"$' in content else _PLAIN_DECODER).decode(content)
    except ValueError as error:
        raise DecodeError(f"the stored document is not JSON: {error}") from error


def _tag(value: Any) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, dt.datetime):
        return {"$datetime": value.isoformat()}
    raise TypeError(f"{type(value).__name__} is not a JSON type")


def _untag(document: dict[str, Any]) -> Any:
    if len(document) == 1:
        ((name, content),) = document.items()
        if name == "$bytes" and isinstance(content, str):
            return base64.b64decode(content)
        if name == "$datetime" and isinstance(content, str):
            return dt.datetime.fromisoformat(content)
    if any(name.startswith("$$") for name in document):
        return {name[1:] if name.startswith("$$") else name: content for name, content in document.items()}
    return document


def _has_marker(value: Any) -> bool:
    if isinstance(value, dict):
        return any(str(name).startswith("$") for name in value) or any(map(_has_marker, value.values()))
    return isinstance(value, list | tuple) and any(map(_has_marker, value))


def _escape(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            f"${name}" if isinstance(name, str) and name.startswith("$") else name: _escape(each)
            for name, each in value.items()
        }
    return [_escape(each) for each in value] if isinstance(value, list | tuple) else value


def _make_encoder() -> Callable[[Any], str]:
    """
    Return a function from value to JSON text.

    ``JSONEncoder.encode`` builds its accelerator anew for every document, which takes longer than a small document.
    """
    accelerator = getattr(json.encoder, "c_make_encoder", None)
    if accelerator is None:
        return json.JSONEncoder(default=_tag, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
    chunks = accelerator(None, _tag, json.encoder.encode_basestring, None, ":", ",", False, False, False)
    return lambda value: "".join(chunks(value, 0))


_encode = _make_encoder()
_PLAIN_DECODER = json.JSONDecoder()
_DECODER = json.JSONDecoder(object_hook=_untag)
