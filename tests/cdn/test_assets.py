"""
Names of published files, references between them, and what may be collected.
"""

from __future__ import annotations

import hashlib

import pytest

from tiercel.cdn.assets import Asset, SiteFile, hashed_name, is_fixed, name_assets, references
from tiercel.cdn.generations import Generation, collect, generations_text, manifest_text, read_generations
from tiercel.errors import ConfigurationError

DIGEST = "7f3c9a51e0b2d4f6" * 4


def named(files: dict[str, str], **options: object) -> dict[str, Asset]:
    listed = [SiteFile(name, len(text), hashlib.sha256(text.encode()).hexdigest()) for name, text in files.items()]
    assets = name_assets(listed, lambda name: files[name].encode(), **options)  # type: ignore[arg-type]  # the test's own
    return {asset.name: asset for asset in assets}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("app.css", "app.7f3c9a51e0b2.css"),
        ("js/app.min.js", "js/app.7f3c9a51e0b2.min.js"),
        ("LICENSE", "LICENSE.7f3c9a51e0b2"),
        ("app.0123abcd.js", "app.0123abcd.js"),
        ("chunk-0123456789ab.js", "chunk-0123456789ab.js"),
    ],
)
def test_hashed_names(name: str, expected: str) -> None:
    assert hashed_name(name, DIGEST) == expected


@pytest.mark.parametrize("name", ["index.html", "a/b/page.html", "robots.txt", "sw.js", "x/favicon.ico", "sitemap.xml"])
def test_what_is_asked_for_by_name_keeps_it(name: str) -> None:
    assert is_fixed(name)


def test_references_are_found_where_they_are() -> None:
    css = '@import "base.css"; a { background: url( "../img/a.png#x" ) } b { src: url(https://x/y.png) url(data:,x) }'
    assert references("css/site.css", css) == [("base.css", "css/base.css"), ("../img/a.png#x", "img/a.png")]
    html = '<a href="page.html"><img src="/img/a.png?v=1"><script src="//cdn/x.js"></script><a href="#top">'
    assert references("docs/index.html", html) == [("page.html", "docs/page.html"), ("/img/a.png?v=1", "img/a.png")]


def test_a_changed_image_changes_the_style_sheet_and_its_name() -> None:
    files = {
        "img/a.png": "one",
        "css/base.css": "a{}",
        "css/site.css": "@import 'base.css'; b{background:url(../img/a.png)}",
    }
    before, after = named(files), named({**files, "img/a.png": "two"})
    assert before["css/site.css"].path != after["css/site.css"].path
    assert before["css/base.css"].path == after["css/base.css"].path


def test_what_is_referred_to_comes_first_and_circles_end() -> None:
    files = {"a.css": "@import 'b.css';", "b.css": "@import 'a.css';", "index.html": '<link href="a.css">'}
    assets = named(files)
    assert list(assets)[-1] == "index.html"
    assert assets["a.css"].path.encode() in (assets["index.html"].text or b"")


def test_a_page_in_another_encoding_is_left_alone() -> None:
    listed = [SiteFile("index.html", 5, DIGEST)]
    [asset] = name_assets(listed, lambda _: b"\xff\xfe<a>")
    assert asset.text is None


def test_two_files_at_one_path_are_refused() -> None:
    twins = [SiteFile("app.css", 1, DIGEST), SiteFile("app.7f3c9a51e0b2.css", 1, "0" * 64)]
    with pytest.raises(ConfigurationError, match="both"):
        name_assets(twins, lambda _: b"", rewrite=False)


def test_only_what_no_kept_generation_lists_is_collected() -> None:
    generations = [Generation(0.0, ("/a", "/b")), Generation(100.0, ("/b", "/c")), Generation(200.0, ("/c",))]
    assert collect(generations, keep=1, keep_s=0, now=300.0)[1] == ["/a", "/b"]
    assert collect(generations, keep=2, keep_s=0, now=300.0)[1] == ["/a"]
    assert collect(generations, keep=1, keep_s=150.0, now=300.0)[1] == ["/a"]  # replaced at 200, not long enough ago
    assert collect(generations, keep=1, keep_s=1000.0, now=300.0)[1] == []
    with pytest.raises(ConfigurationError):
        collect(generations, keep=0, keep_s=0, now=0)


def test_generations_survive_the_round_trip() -> None:
    generations = [Generation(1.5, ("/ä", "/b"))]
    assert read_generations(generations_text(generations)) == generations
    for damaged in (b"", b"[]", b'{"generations": [{}]}', b'{"generations": [1]}'):
        with pytest.raises(ConfigurationError):
            read_generations(damaged)
    assert b'"a.css"' in manifest_text({"a.css": "/a.1.css"}, 0.0)
