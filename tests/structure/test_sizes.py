"""
The structure check itself: each of its limits is met by a tree made to pass it, and passed by one made to fail.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

import pytest

from tools import check_structure as structure
from tools.check_structure import Source

Check = Callable[[list[Source]], Iterator[str]]


def source(text: str, path: str = "src/tiercel/room.py") -> Source:
    """Return a source file of the library."""
    return Source(path, text, ast.parse(text))


def function(lines: int, name: str = "f") -> str:
    """Return the text of a function of exactly *lines* lines."""
    return f"def {name}():\n" + "    x = 1\n" * (lines - 1)


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (structure.check_functions, [source(function(60))], [source(function(61))]),
        (structure.check_files, [source("x = 1\n" * 500)], [source("x = 1\n" * 501)]),
        (
            structure.check_functions,
            [source("".join(function(30, f"f{n}") for n in range(20)))],
            [source("".join(function(31, f"f{n}") for n in range(20)))],
        ),
        (
            structure.check_generated_share,
            [source("x = 1\n" * 75), source("x = 1\n" * 25, "src/tiercel/_sync/room.py")],
            [source("x = 1\n" * 74), source("x = 1\n" * 26, "src/tiercel/_sync/room.py")],
        ),
    ],
)
def test_each_limit_is_the_last_good_value(check: Check, good: list[Source], bad: list[Source]) -> None:
    assert list(check(good)) == []
    assert list(check(bad)) != []


def names_nobody_uses(*sources: Source) -> list[str]:
    """Return the names that the check calls dead."""
    return [problem.rsplit(" ", 1)[1] for problem in structure.check_dead_names(list(sources))]


def test_a_name_that_nothing_uses_is_dead() -> None:
    assert names_nobody_uses(source("def orphan_of_nobody():\n    pass\n")) == ["orphan_of_nobody"]


def test_a_name_that_a_test_uses_is_alive_unless_it_is_private() -> None:
    test = source("lonely_public()\n_lonely_private()\n", "tests/test_room.py")
    library = source("def lonely_public():\n    pass\ndef _lonely_private():\n    pass\n")
    assert names_nobody_uses(library, test) == ["_lonely_private"]


def test_a_method_that_only_repeats_in_implementations_is_dead() -> None:
    library = source("class A:\n    def lonely(self): ...\nclass B:\n    def lonely(self): ...\nA, B\n")
    assert names_nobody_uses(library) == ["lonely", "lonely"]


def test_what_a_framework_calls_is_alive() -> None:
    library = source(
        "import asyncio\nimport click\n"
        "class Wire(asyncio.Protocol):\n    def connection_lost_for_ever(self): ...\n"
        "@click.command()\ndef shown_on_the_command_line(): ...\n"
        "Wire\n"
    )
    assert names_nobody_uses(library) == []


def test_the_generated_twin_uses_nothing() -> None:
    library = source("def lonely_public():\n    pass\n")
    twin = source("lonely_public()\n", "src/tiercel/_sync/room.py")
    assert names_nobody_uses(library, twin) == ["lonely_public"]
