"""
Erasures noted beside the backups of a folder: a line of JSON for each, so that no restore from there brings one back.
"""

from __future__ import annotations

import json
from pathlib import Path

NAME = "erased.jsonl"


def note_erasure(folder: Path, tenant: str, subject: str, at_ms: int) -> None:
    """Add a line, durable on return."""
    with (folder / NAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"at_ms": at_ms, "tenant": tenant, "subject": subject}) + "\n")
        file.flush()


def noted_erasures(folder: Path, since_ms: int) -> set[tuple[str, str]]:
    """Return (tenant, subject) of what was erased at *since_ms* or later."""
    path = folder / NAME
    if not path.exists():
        return set()
    notes = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return {(note["tenant"], note["subject"]) for note in notes if note["at_ms"] >= since_ms}
