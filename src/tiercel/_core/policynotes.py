"""
What a node says about the policy that it follows, so that an operator sees who has a change and who has not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

__all__ = ["NodeNote", "ShadowCount", "pack_note", "unpack_notes"]

QUIET_S: Final = 15.0
"""A node that has said nothing for so long is gone."""


class ShadowCount(msgspec.Struct, frozen=True, kw_only=True):
    """Hits of one region held against the store: how many, how many differed, how many there was no time for."""

    compared: int = 0
    mismatched: int = 0
    skipped: int = 0
    failed: int = 0


class NodeNote(msgspec.Struct, frozen=True, kw_only=True):
    """
    One node.

    Attributes:
        node: Its name.
        version: The policy's version that it follows.
        applied_s: Since when, seconds since the epoch.
        is_on_trial: It tries the change that is on trial.
        verdict: What its guard rails say: ``""``, ``too few reads``, ``good``, or the breach.
        problems: Why it left regions as its own matrix file has them, by region.
        shadow: Shadow comparisons by region.
        said_s: When it said this.
    """

    node: str
    version: int
    applied_s: float
    said_s: float
    is_on_trial: bool = False
    verdict: str = ""
    problems: dict[str, str] = {}
    shadow: dict[str, ShadowCount] = {}


def pack_note(note: NodeNote) -> bytes:
    """Return *note* as JSON."""
    return msgspec.json.encode(note)


def unpack_notes(found: Mapping[str, bytes], now_s: float) -> tuple[list[NodeNote], list[str]]:
    """Return the notes of nodes that live, by name, and the fields of those that are gone or cannot be read."""
    living: list[NodeNote] = []
    gone: list[str] = []
    for field, body in found.items():
        try:
            note = msgspec.json.decode(body, type=NodeNote)
        except msgspec.MsgspecError:
            gone.append(field)
            continue
        if now_s - note.said_s > QUIET_S:
            gone.append(field)
        else:
            living.append(note)
    return sorted(living, key=lambda note: note.node), gone
