"""
The locks: every package pinned with hashes, no address, and nothing that ``pyproject.toml`` asks for is missing.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PIN = re.compile(r"^(?P<name>[a-z0-9._-]+)==(?P<version>[^ ;\\]+)", re.IGNORECASE)
ADDRESS = re.compile(r"://|\bindex-url|--find-links|--trusted-host|@ ", re.IGNORECASE)


def blocks(text: str) -> list[str]:
    """Return each requirement of a lock as one line."""
    joined = text.replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def normal(name: str) -> str:
    """Return a package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def asked(project: dict[str, Any]) -> set[str]:
    """Return the names of every package that the project, its extras or its groups ask for by themselves."""
    lists = [project["project"]["dependencies"], *project["project"]["optional-dependencies"].values()]
    lists += project["dependency-groups"].values()
    words = [word for entries in lists for word in entries if isinstance(word, str)]
    return {normal(re.split(r"[\s\[<>=!~;]", word)[0]) for word in words} - {"tiercel"}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_package_is_pinned_with_hashes(lock: Path) -> None:
    entries = blocks(lock.read_text(encoding="utf-8"))
    assert entries
    for entry in entries:
        assert PIN.match(entry), entry
        assert "--hash=sha256:" in entry, entry


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_no_lock_names_an_address(lock: Path) -> None:
    found = [line for line in lock.read_text(encoding="utf-8").splitlines() if ADDRESS.search(line)]
    assert not found


def test_the_test_lock_holds_all_that_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    entries = blocks((ROOT / "requirements" / "test.txt").read_text(encoding="utf-8"))
    pinned = {normal(match["name"]) for entry in entries if (match := PIN.match(entry))}
    assert asked(project) <= pinned, "run: make lock"


def test_both_locks_pin_the_same_versions() -> None:
    run, test = (
        {entry.split(" --hash")[0] for entry in blocks((ROOT / "requirements" / name).read_text(encoding="utf-8"))}
        for name in ("run.txt", "test.txt")
    )
    assert {entry.split(";")[0].strip() for entry in run} <= {entry.split(";")[0].strip() for entry in test}


def imported(path: Path) -> set[str]:
    """Return the top-level names that *path* imports, however deep the import stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


def test_the_test_lock_holds_every_package_that_anything_imports() -> None:
    own = {"tiercel", "tests", "tools", "benchmarks", "proofs", "examples"}
    providers = packages_distributions()
    entries = blocks((ROOT / "requirements" / "test.txt").read_text(encoding="utf-8"))
    pinned = {normal(match["name"]) for entry in entries if (match := PIN.match(entry))}
    missing = {
        f"{name} ({path.relative_to(ROOT)})"
        for room in ("src", "tests", "tools", "benchmarks", "proofs", "examples")
        for path in (ROOT / room).rglob("*.py")
        for name in imported(path) - own - sys.stdlib_module_names
        if not {normal(package) for package in providers.get(name, [name])} & pinned
    }
    assert not missing
