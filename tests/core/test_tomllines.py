"""Line numbers of tables and keys in TOML text."""

from __future__ import annotations

from tiercel._core.tomllines import line_of

TEXT = """# a matrix
[cache]
redis = "x"

[regions.product]   # catalogue
ttl = "1h"
local = { max_entries = 5 }

[[alerts]]
name = "a"
[[alerts]]
name = "b"

["regions"."odd.name"]
ttl = 1
"""


def test_tables_and_keys_are_found() -> None:
    assert line_of(TEXT, ("cache",)) == 2
    assert line_of(TEXT, ("cache", "redis")) == 3
    assert line_of(TEXT, ("regions", "product", "ttl")) == 6
    assert line_of(TEXT, ("regions", "odd.name", "ttl")) == 15


def test_elements_of_an_array_are_told_apart() -> None:
    assert line_of(TEXT, ("alerts", "#1", "name")) == 10
    assert line_of(TEXT, ("alerts", "#2", "name")) == 12


def test_what_is_not_there_is_placed_at_the_nearest_table_around() -> None:
    assert line_of(TEXT, ("regions", "product", "local", "max_entries")) == 7
    assert line_of(TEXT, ("cache", "missing")) == 2
    assert line_of(TEXT, ("elsewhere",)) is None


def test_a_table_without_a_header_is_where_its_first_child_is() -> None:
    assert line_of(TEXT, ("regions",)) == 5
