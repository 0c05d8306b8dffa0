"""
Check that every relative link in the Markdown files leads to a file, and every anchor in it to a heading.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
HEADING = re.compile(r"^#{1,6}\s+(.*)$", re.MULTILINE)


def documents() -> list[Path]:
    """Return every Markdown file of the project."""
    skipped = {".venv", ".git", "node_modules", "build", "dist"}
    return sorted(path for path in ROOT.rglob("*.md") if not skipped & set(path.relative_to(ROOT).parts))


def prose(document: Path) -> str:
    """Return the text of *document* without its code blocks."""
    return FENCE.sub("", document.read_text(encoding="utf-8"))


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as code hosts spell them."""
    headings = HEADING.findall(prose(document))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken_links(document: Path) -> list[str]:
    """Return what is wrong with the links of *document*."""
    problems = []
    for target in LINK.findall(CODE.sub("", prose(document))):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        if not path.exists():
            problems.append(f"{document.relative_to(ROOT)}: no such file: {target}")
        elif anchor and path.suffix == ".md" and anchor not in anchors(path):
            problems.append(f"{document.relative_to(ROOT)}: no such heading: {target}")
    return problems


def main() -> int:
    """Check every document."""
    found = documents()
    problems = [problem for document in found for problem in broken_links(document)]
    print("\n".join([*problems, f"{len(found)} documents, {len(problems)} broken links"]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
