"""
The record of the proofs, ``docs/explain/proofs.md``: what each program in ``proofs/`` promises and printed last.

A section a program: the first paragraph of its docstring, the command, when and under which load it ran and for how
long, and its output. A run of some programs replaces their sections and keeps the others.
"""

from __future__ import annotations

import ast
import os
import re
import time
from pathlib import Path

__all__ = ["record"]

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "explain" / "proofs.md"
HEAD = """# Proofs

`make prove` runs every program in `proofs/`, one promise each, against real servers, and writes here what they printed.
Most set a naive way beside ours, which has to fail. `make test` runs each in a shortened form. Times belong to the
machine and its load; read counts and ratios.
"""
MOST_LINES = 40


def record(name: str, output: str, seconds: float) -> None:
    """Put what the proof *name* (``proofs.stress``) printed in its place on the page."""
    sections = _sections()
    sections[name] = _section(name, output, seconds)
    PAGE.write_text("\n".join([HEAD, *(sections[each] for each in sorted(sections))]), encoding="utf-8")


def _sections() -> dict[str, str]:
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    parts = re.split(r"^(?=## `)", text, flags=re.MULTILINE)[1:]
    return {part.split("`")[1]: part.rstrip("\n") + "\n" for part in parts}


def _section(name: str, output: str, seconds: float) -> str:
    path = ROOT / (name.replace(".", "/") + ".py")
    promise = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
    day, load = time.strftime("%Y-%m-%d"), os.getloadavg()[1]
    lines = output.strip().splitlines()[-MOST_LINES:]
    head = [f"## `{name}`", "", " ".join(promise.split()), "", f"{day}, {seconds:.0f} s, load {load:.1f}:", ""]
    return "\n".join([*head, "```", *(line.rstrip() for line in lines), "```", ""])
