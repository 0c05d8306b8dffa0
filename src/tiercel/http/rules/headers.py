"""
Header fields: ordered, case-insensitive, immutable.

Names are kept in lower case, values as text in Latin-1, so that any octet survives the round trip. Several lines of
one field stay several lines; `Headers.get` joins them with a comma (RFC 9110 section 5.3).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

__all__ = ["CONNECTION_FIELDS", "Headers", "RawHeaders"]

RawHeaders = list[tuple[bytes, bytes]]

# No `Connection` option may take these away: they say what the message is.
_FRAMING_FIELDS = frozenset({"host", "content-length"})
# Fields that belong to one connection, never to the message (RFC 9110 section 7.6.1, RFC 9111 section 3.1).
CONNECTION_FIELDS = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class Headers:
    """The fields of one message; safe to share between threads because nothing changes them."""

    __slots__ = ("_combined", "_lines", "_raw")

    def __init__(self, lines: Iterable[tuple[str, str]] = ()) -> None:
        self._lines = tuple((name.lower(), value) for name, value in lines)
        self._raw: RawHeaders | None = None
        self._combined: dict[str, str] = {}
        for name, value in self._lines:
            earlier = self._combined.get(name)
            self._combined[name] = value if earlier is None else f"{earlier}, {value}"

    @classmethod
    def from_raw(cls, raw: Iterable[tuple[bytes, bytes]]) -> Headers:
        """Return the fields of an ASGI message or scope."""
        return cls((name.decode("latin-1"), value.decode("latin-1")) for name, value in raw)

    def raw(self) -> RawHeaders:
        """Return the fields as ASGI wants them; encoded once, do not change the list."""
        if self._raw is None:
            self._raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self._lines]
        return self._raw

    def get(self, name: str) -> str | None:
        """Return the combined value of the field called *name* (lower case), or None."""
        return self._combined.get(name)

    def lines(self, name: str) -> list[str]:
        """Return each line of the field called *name* (lower case), in order."""
        return [value for line_name, value in self._lines if line_name == name]

    def without(self, names: Iterable[str]) -> Headers:
        """Return these fields less those called *names* (lower case)."""
        dropped = frozenset(names)
        if dropped.isdisjoint(self._combined):
            return self
        return Headers(line for line in self._lines if line[0] not in dropped)

    def adding(self, *lines: tuple[str, str]) -> Headers:
        """Return these fields followed by *lines*."""
        return Headers((*self._lines, *lines))

    def replacing(self, name: str, value: str) -> Headers:
        """Return these fields with exactly one line *name*."""
        return self.without((name,)).adding((name, value))

    def end_to_end(self) -> Headers:
        """Return these fields less those of the connection, the ones that ``Connection`` names included."""
        if "connection" not in self._combined:
            return self.without(CONNECTION_FIELDS)
        named = {member.strip().lower() for member in (self.get("connection") or "").split(",")}
        return self.without(CONNECTION_FIELDS | (named - _FRAMING_FIELDS))

    def __contains__(self, name: str) -> bool:
        return name in self._combined

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._lines)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._lines == other._lines

    def __hash__(self) -> int:
        return hash(self._lines)

    def __repr__(self) -> str:
        return f"Headers({list(self._lines)!r})"
