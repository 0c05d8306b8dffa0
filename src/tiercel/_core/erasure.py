"""
Erasures: what is noted of one, so that no backup brings it back, and the receipt that says what was done where.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import msgspec

from tiercel.errors import DecodeError

INDEX = "erased"
"""Name of the stream of erasures beside the entries."""


class Erasure(msgspec.Struct, frozen=True, array_like=True):
    """
    One erasure, as the index keeps it; holds names, never values.

    Attributes:
        at_ms: When it was asked for, milliseconds since the epoch.
        tenant: Whose subject.
        subject: ``entity:id``.
        names: Names of its entries in the far tier.
        tags: Hashes of the tags that its data is known by.
        keys: Its rows, as (region, encoded key).
    """

    at_ms: int
    tenant: str
    subject: str
    names: tuple[bytes, ...] = ()
    tags: tuple[int, ...] = ()
    keys: tuple[tuple[str, bytes], ...] = ()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Erasure)


def pack_erasure(erasure: Erasure) -> bytes:
    """Return an erasure as bytes."""
    return _encoder.encode(erasure)


def unpack_erasure(body: bytes) -> Erasure:
    """Return what was packed; raise `DecodeError` where it is damaged."""
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise DecodeError("a noted erasure cannot be read") from error


State = Literal["done", "queued", "failed"]


@dataclass(frozen=True, slots=True)
class ErasedPlace:
    """
    What was done in one place.

    Attributes:
        place: ``index``, ``journal:REGION``, ``redis``, ``derived``, ``local``, ``cdn``, ``keys``, ``notes``,
            ``check``.
        action: What was done, in words.
        count: How many things it concerned.
        at_s: When it was done, seconds since the epoch.
        state: ``done``; ``queued``: kept and sent again until the place takes it; ``failed``: see *why*.
        why: The error's text where it failed.
    """

    place: str
    action: str
    count: int
    at_s: float
    state: State = "done"
    why: str = ""


@dataclass(slots=True)
class ErasureReceipt:
    """
    Proof of an erasure, place by place.

    Attributes:
        tenant: Whose subject.
        subject: What was erased.
        started_s: When it was asked for, seconds since the epoch.
        places: What was done, in order.
    """

    tenant: str
    subject: str
    started_s: float
    places: list[ErasedPlace] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether every place is done: nothing failed, nothing waits."""
        return bool(self.places) and all(place.state == "done" for place in self.places)

    @property
    def took_s(self) -> float:
        """Seconds from the request to the last place."""
        return max((place.at_s for place in self.places), default=self.started_s) - self.started_s

    def as_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {**asdict(self), "is_complete": self.is_complete, "took_s": round(self.took_s, 3)}
