"""
The generator of the blocking twin: it renames and does nothing else, and each of its four guards can fail.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import unasync

SOURCE = '''
class AsyncThing:
    """Hold one connection."""

    async def aclose(self) -> None:
        async with self.lock:
            await self.connection.aclose()
'''
TWIN = '''
class Thing:
    """Hold one connection."""

    def close(self) -> None:
        with self.lock:
            self.connection.close()
'''


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with one source and its rules, generated once."""
    monkeypatch.setattr(unasync, "ROOT", tmp_path)
    monkeypatch.setattr(unasync, "PAIRS", {"a": "b"})
    monkeypatch.setattr(unasync, "RENAMES", {"AsyncThing": "Thing", "aclose": "close"})
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "thing.py").write_text(SOURCE, encoding="utf-8")
    files, problems = unasync.generate()
    assert not problems
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    return tmp_path


def problems_in_tree() -> list[str]:
    """Return what ``--check`` would say."""
    files, problems = unasync.generate()
    return problems + unasync.compare(files)


def test_a_twin_is_its_source_renamed(tree: Path) -> None:
    header, _, body = (tree / "b" / "thing.py").read_text(encoding="utf-8").partition("\n")
    assert body == TWIN
    assert header.startswith("# Generated from a/thing.py")
    assert problems_in_tree() == []


def test_generating_twice_changes_nothing(tree: Path) -> None:
    files, _ = unasync.generate()
    assert {path.read_text(encoding="utf-8") for path in files} == set(files.values())


@pytest.mark.parametrize("edit", ["# one line more\n", " "])
def test_an_edited_twin_is_found(tree: Path, edit: str) -> None:
    twin = tree / "b" / "thing.py"
    twin.write_text(twin.read_text(encoding="utf-8") + edit, encoding="utf-8")
    assert any("differs from its source" in problem for problem in problems_in_tree())


def test_a_missing_twin_is_found(tree: Path) -> None:
    (tree / "b" / "thing.py").unlink()
    assert any("differs from its source" in problem for problem in problems_in_tree())


def test_a_twin_without_a_source_is_found(tree: Path) -> None:
    (tree / "b" / "left_over.py").write_text("", encoding="utf-8")
    assert any("has no source" in problem for problem in problems_in_tree())


def test_a_rule_that_matches_nothing_is_found(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(unasync.RENAMES, "AsyncNobody", "Nobody")
    assert any("unused rule 'AsyncNobody'" in problem for problem in problems_in_tree())


@pytest.mark.parametrize("line", ["import asyncio", "# waits with await", "async\tdef f(): ..."])
def test_a_surviving_colour_is_found(tree: Path, line: str) -> None:
    source = tree / "a" / "thing.py"
    source.write_text(f"{SOURCE}\n{line}\n", encoding="utf-8")
    assert any("survives the renaming" in problem for problem in problems_in_tree())


def test_a_comprehension_loses_its_colour() -> None:
    assert unasync.translate("x = [y async for y in await z()]", set()) == "x = [y for y in z()]"


def test_names_that_only_contain_a_rule_stay() -> None:
    used: set[str] = set()
    assert unasync.translate("my_aclose = AsyncCaches", used) == "my_aclose = AsyncCaches"
    assert used == set()
