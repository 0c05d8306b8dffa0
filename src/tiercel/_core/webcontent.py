"""
Values as web content: what is published at a CDN for a value, and the value back.

Bytes go out as they are, their type told by the key's ending; text is HTML unless the ending says otherwise; anything
else is JSON.
"""

from __future__ import annotations

import json
import mimetypes
from typing import Any

from tiercel.errors import DecodeError, EncodeError
from tiercel.typing import Key

JSON = "application/json"
MIME = mimetypes.MimeTypes()  # the built-in table alone: the same on every machine


def content_of(key: Key, value: Any) -> tuple[bytes, str]:
    """
    Return (body, content type) of *value*.

    Raises:
        EncodeError: the value is neither bytes nor text and has no JSON form.
    """
    guessed = MIME.guess_type(key if isinstance(key, str) else key.decode("utf-8", "replace"))[0]
    if isinstance(value, bytes):
        return value, _with_charset(guessed or "application/octet-stream")
    if isinstance(value, str):
        return value.encode("utf-8"), _with_charset(guessed or "text/html")
    try:
        body = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise EncodeError(f"a {type(value).__name__} has no JSON form to publish: {error}", key=key) from error
    return body, JSON


def value_of(body: bytes, content_type: str) -> Any:
    """Return the value that was published; raise `DecodeError` where JSON is damaged."""
    kind = content_type.partition(";")[0].strip()
    if kind == JSON:
        try:
            return json.loads(body)
        except ValueError as error:
            raise DecodeError("the published JSON is damaged") from error
    return body.decode("utf-8", "replace") if kind.startswith("text/") else body


def _with_charset(kind: str) -> str:
    return f"{kind}; charset=utf-8" if kind.startswith("text/") or kind.endswith("javascript") else kind
