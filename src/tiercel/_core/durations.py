"""
Human durations and sizes: ``"1h30m"`` and ``"64 MB"`` to seconds and bytes, and back.

A bare number is seconds or bytes. Units are exact: ``KB`` is 1000 bytes, ``KiB`` is 1024. Wrong text raises
`ValueError` with a message that says what is allowed.
"""

from __future__ import annotations

import math
import re
from typing import Final

__all__ = ["format_duration", "format_size", "parse_duration", "parse_size"]

_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_BYTES: Final[dict[str, int]] = {
    "": 1,
    "b": 1,
    **{f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", 1)},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", 1)},
}
_NUMBER: Final = r"\d+(?:\.\d+)?"
_DURATION_PART: Final = re.compile(rf"({_NUMBER})\s*(us|ms|[smhdw])\s*")
_SIZE: Final = re.compile(rf"({_NUMBER})\s*([A-Za-z]*)")
_DURATION_HELP: Final = (
    'write seconds as a number, or text such as "90s", "1h30m", "250ms" (units us, ms, s, m, h, d, w)'
)
_SIZE_HELP: Final = (
    'write bytes as a number, or text such as "64 MB", "1GiB" (units B, KB, MB, GB, TB, KiB, MiB, GiB, TiB)'
)


def parse_duration(value: object) -> float:
    """Return the seconds that *value*, a number or text such as ``"1h30m"``, stands for."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not math.isfinite(value) or value < 0:
            raise _no("duration", value, _DURATION_HELP)
        return float(value)
    if not isinstance(value, str):
        raise _no("duration", value, _DURATION_HELP)
    text, position, seconds = value.strip(), 0, 0.0
    while match := _DURATION_PART.match(text, position):
        seconds += float(match[1]) * _SECONDS[match[2]]
        position = match.end()
    if not text or position != len(text):
        raise _no("duration", value, _DURATION_HELP)
    return round(seconds, 9)


def parse_size(value: object) -> int:
    """Return the bytes that *value*, a whole number or text such as ``"64 MB"``, stands for."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise _no("size", value, _SIZE_HELP)
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or match[2].lower() not in _BYTES:
        raise _no("size", value, _SIZE_HELP)
    return round(float(match[1]) * _BYTES[match[2].lower()])


def format_duration(seconds: float) -> str:
    """Return the shortest text of up to two units that `parse_duration` reads back to *seconds* where that is exact."""
    if seconds == 0:
        return "0s"
    if seconds < 1:
        unit, scale = ("ms", 1e-3) if seconds >= 1e-3 else ("us", 1e-6)
        return f"{_plain(seconds / scale)}{unit}"
    if seconds < 60 or not float(seconds).is_integer():
        return f"{_plain(seconds)}s"
    whole, parts = int(seconds), []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count}{unit}")
    # "24h" reads better than "1d" for a ttl, and is as exact
    return f"{int(seconds) // 3600}h" if seconds <= 172_800 and seconds % 3600 == 0 else "".join(parts)


def format_size(size_bytes: float) -> str:
    """Return *size_bytes* in the largest unit that keeps it at least 1, with one decimal where it is not whole."""
    for unit, scale in (("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if size_bytes >= scale:
            return f"{_plain(round(size_bytes / scale, 1))} {unit}"
    return f"{_plain(round(size_bytes, 1))} B"


def _plain(number: float) -> str:
    return f"{number:.9f}".rstrip("0").rstrip(".")


def _no(what: str, value: object, help_text: str) -> ValueError:
    return ValueError(f"{value!r} is no {what}: {help_text}")
