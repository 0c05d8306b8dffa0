"""
Generations of a published site: the manifest of each run, and which old objects may go.

A page that a browser or an edge still holds refers to the assets of its own generation, so these stay for as many
generations and as long as is set; only then are they removed. Only what a generation lists is ever removed: a bucket
may hold other things.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiercel.errors import ConfigurationError

MANIFEST = "asset-manifest.json"
GENERATIONS = "asset-generations.json"


@dataclass(frozen=True, slots=True)
class Generation:
    """One run of the publisher: when, and every path that it put or found in place."""

    created_s: float
    paths: tuple[str, ...]


def manifest_text(paths: Mapping[str, str], created_s: float) -> bytes:
    """Return the manifest: file name on disk to published path, sorted, ready for templates to look up."""
    content = {"version": 1, "created_s": created_s, "files": dict(sorted(paths.items()))}
    return json.dumps(content, indent=1).encode() + b"\n"


def generations_text(generations: Sequence[Generation]) -> bytes:
    """Return *generations* as JSON, oldest first."""
    content = {
        "version": 1,
        "generations": [{"created_s": one.created_s, "paths": list(one.paths)} for one in generations],
    }
    return json.dumps(content, separators=(",", ":")).encode()


def read_generations(text: bytes) -> list[Generation]:
    """
    Return the generations in *text*; raise `ConfigurationError` where it is damaged, so that nothing is removed by
    mistake.
    """
    try:
        content: dict[str, Any] = json.loads(text)
        found = [Generation(float(one["created_s"]), tuple(map(str, one["paths"]))) for one in content["generations"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{GENERATIONS} is damaged; nothing was removed: {error}") from error
    return found


def collect(
    generations: Sequence[Generation], *, keep: int, keep_s: float, now: float
) -> tuple[list[Generation], list[str]]:
    """
    Return the generations that stay, and the paths that no longer belong to any of them.

    Args:
        generations: All of them, oldest first; the newest always stays.
        keep: How many stay whatever their age, at least 1.
        keep_s: A generation that was replaced less than this ago stays too.
        now: Seconds since the epoch.
    """
    if keep < 1:
        raise ConfigurationError(f"keep={keep}: the newest generation always stays")
    staying = []
    for position, one in enumerate(generations):
        is_recent = position >= len(generations) - keep
        replaced_s = generations[position + 1].created_s if position + 1 < len(generations) else now
        if is_recent or now - replaced_s < keep_s:
            staying.append(one)
    held = _paths(staying)
    return staying, sorted(_paths(generations) - held)


def _paths(generations: Iterable[Generation]) -> set[str]:
    return {path for one in generations for path in one.paths}
