"""
Paths: what is refused, and that no two keys share one.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiercel.cdn.paths import check_path, check_prefix, check_purge_path, edge_path, quoted, tenant_prefix
from tiercel.errors import ConfigurationError
from tiercel.typing import GLOBAL

REFUSED = [
    "",
    "p/1",
    "//p",
    "/a//b",
    "/./a",
    "/a/.",
    "/a/..",
    "/../etc/passwd",
    "/a/../b",
    "/%2e%2e/a",
    "/a/%2E%2e",
    "/a%2fb",
    "/a%5Cb",
    "/a\\b",
    "/a\x00b",
    "/a%00b",
    "/a\nb",
    "/a b",
    "/a\x7f",
    "/a\u2028b",
    "/a%0d%0ab",
    "/a%25b",
    "/a%zz",
    "/a?x=1",
    "/a#b",
    "/a*",
    "/" + "x" * 1024,
    "/\ud800",
    "/.tiercel/tags/x",
]


@pytest.mark.parametrize("path", REFUSED)
def test_a_dangerous_path_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError):
        check_path(path)


@pytest.mark.parametrize("path", ["/", "/a", "/a/b.css", "/a/", "/ä/ö", "/a%20b", "/a.b..c", "/" + "x" * 1023])
def test_an_ordinary_path_passes(path: str) -> None:
    assert check_path(path) == path


def test_a_purge_may_name_a_query_and_a_prefix_may_be_everything() -> None:
    assert check_purge_path("/p?page=2") == "/p?page=2"
    assert check_prefix("/") == "/"
    assert check_prefix("/p/a") == "/p/a"
    for bad in ("/p?*", "/../", "p"):
        with pytest.raises(ConfigurationError):
            check_prefix(bad)
    with pytest.raises(ConfigurationError):
        check_purge_path("/a*b")


def test_a_clean_key_keeps_its_look() -> None:
    assert edge_path("acme", "static", "css/site.css") == "/acme/static/css/site.css"
    assert edge_path("acme", "api", "products?page=2") == "/acme/api/products%3Fpage=2"
    assert edge_path(GLOBAL, "static", "a b") == "/@global/static/a%20b"
    assert tenant_prefix("acme") == "/acme/"
    assert tenant_prefix(GLOBAL) == "/"


@pytest.mark.parametrize("key", ["..", "a/../b", "/", "a//b", "~b", "", b"", b"\x00", "%2e", "a\\b", "\ud800"])
def test_any_key_gets_a_path_that_may_be_published(key: str | bytes) -> None:
    assert check_path(edge_path("acme", "static", key))


KEYS = st.one_of(
    st.text(max_size=40), st.binary(max_size=40), st.sampled_from(["~bYQ", "~tYQ", "a", "%61", b"a", "a/", "a"])
)


@settings(max_examples=2000, deadline=None)
@given(KEYS, KEYS, st.sampled_from(["a", "a.b", "A"]), st.sampled_from(["a", "a.b", "A"]))
def test_different_keys_get_different_paths(one: str | bytes, other: str | bytes, tenant: str, second: str) -> None:
    same = (one, tenant) == (other, second) and type(one) is type(other)
    assert (edge_path(tenant, "r", one) == edge_path(second, "r", other)) is same


@pytest.mark.parametrize("name", ["", "a/b", "..", ".", "-a", "a b"])
def test_a_tenant_cannot_shift_the_border(name: str) -> None:
    with pytest.raises(ConfigurationError):
        edge_path(name, "r", "k")


def test_quoting_gives_ascii_and_leaves_escapes() -> None:
    assert quoted("/ä/a%20b") == "/%C3%A4/a%20b"
