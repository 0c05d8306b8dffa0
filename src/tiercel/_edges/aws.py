"""
Calls to AWS through boto3, their failures told apart: the object is absent, somebody else was faster, S3 is away.

boto3's clients and exception types are handed in, so that nothing here imports a driver. Clients are thread-safe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tiercel.errors import TierError, TierUnavailable

_LOST_RACE = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_ABSENT = frozenset({"NoSuchKey", "NoSuchUpload", "NotFound", "404"})


class Absent(TierError):
    """There is no such object or upload."""


class LostRace(TierError):
    """The object changed since it was read."""


@dataclass(frozen=True, slots=True)
class AwsErrors:
    """The driver's exception types: one that carries an AWS error code, and those of the network."""

    coded: type[Exception]
    network: tuple[type[Exception], ...]

    def call(self, function: Callable[..., Any], **request: Any) -> Any:
        """Return what *function* returns; raise `Absent`, `LostRace` or `TierUnavailable`."""
        try:
            return function(**request)
        except self.coded as error:
            reply: dict[str, Any] = getattr(error, "response", {})
            code = str(reply.get("Error", {}).get("Code", ""))
            if code in _ABSENT:
                raise Absent(str(error), tier="cdn") from error
            if code in _LOST_RACE:
                raise LostRace(str(error), tier="cdn") from error
            raise TierUnavailable(f"S3: {error}", tier="cdn") from error
        except self.network as error:
            raise TierUnavailable(f"S3: {error}", tier="cdn") from error
