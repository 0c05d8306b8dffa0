# Generated from tests/async_/edge/test_site.py by tools/unasync.py. Do not edit.
"""
Publishing a site to a folder edge: names, order, repeats, generations, variants.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiercel._sync.edge import open_edge
from tiercel._sync.edge_distribution import Distribution
from tiercel._sync.edge_site import SitePublisher
from tiercel._core.clock import ManualClock
from tiercel.cdn.site import SiteOptions
from tiercel.errors import ConfigurationError, TierUnavailable

DAY_S = 86_400.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def edge(tmp_path: Path, clock: ManualClock) -> Iterator[Distribution]:
    opened = open_edge(f"folder://{tmp_path}/edge", clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "site"
    (root / "css").mkdir(parents=True)
    (root / "img").mkdir()
    (root / "img" / "logo.png").write_bytes(b"\x89PNG" + bytes(100))
    (root / "css" / "site.css").write_text("body { background: url(../img/logo.png) }" + " " * 400)
    (root / "index.html").write_text('<link rel="stylesheet" href="/css/site.css"><img src="img/logo.png">')
    (root / ".secret").write_text("not published")
    return root


def publisher(edge: Distribution, clock: ManualClock, **options: object) -> SitePublisher:
    own = SiteOptions(**options)  # type: ignore[arg-type]  # the test's own keywords
    return SitePublisher(edge, own, clock=clock)


def test_assets_get_hashed_names_and_pages_refer_to_them(
    edge: Distribution, clock: ManualClock, site: Path
) -> None:
    report = publisher(edge, clock).publish(site)
    css, logo = report.manifest["css/site.css"], report.manifest["img/logo.png"]
    assert css != "/css/site.css"
    page = edge.fetch("/index.html")
    style = edge.fetch(css)
    assert page is not None
    assert style is not None
    assert page.body.decode() == f'<link rel="stylesheet" href="{css}"><img src="{logo}">'
    assert f"url({logo})".encode() in style.body
    assert style.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert page.headers["Cache-Control"] == "public, max-age=60"
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    manifest = edge.fetch("/asset-manifest.json")
    assert manifest is not None
    assert json.loads(manifest.body)["files"] == report.manifest
    assert edge.fetch("/.secret") is None


def test_a_second_run_sends_nothing(edge: Distribution, clock: ManualClock, site: Path) -> None:
    publisher(edge, clock).publish(site)
    clock.advance(10.0)
    report = publisher(edge, clock).publish(site)
    assert (report.published, report.sent_bytes, len(report.unchanged)) == ([], 0, 3)


def test_a_run_that_died_is_continued(edge: Distribution, clock: ManualClock, site: Path) -> None:
    origin = edge.origin
    assert origin is not None
    real_put, calls = origin.put, 0

    def failing_put(item: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise TierUnavailable("the disk is full")
        return real_put(item)  # type: ignore[arg-type]  # handed through

    origin.put = failing_put  # type: ignore[assignment,method-assign]  # a disk that fails once
    with pytest.raises(TierUnavailable):
        publisher(edge, clock, concurrency=1).publish(site)
    origin.put = real_put  # type: ignore[method-assign]  # and is well again
    assert edge.fetch("/index.html") is None  # no page before its assets
    report = publisher(edge, clock).publish(site)
    assert len(report.unchanged) >= 1
    assert len(report.unchanged) + len(report.published) == 3
    assert edge.fetch("/index.html") is not None


def test_a_dry_run_changes_nothing_and_says_what_would(
    edge: Distribution, clock: ManualClock, site: Path
) -> None:
    planned = publisher(edge, clock).plan(site)
    assert edge.origin is not None
    assert edge.origin.paths() == []
    report = publisher(edge, clock).publish(site)
    assert planned.published == report.published
    assert planned.manifest == report.manifest
    assert planned.sent_bytes == report.sent_bytes


def test_old_generations_stay_for_a_while_and_are_collected(
    edge: Distribution, clock: ManualClock, site: Path
) -> None:
    options = {"keep": 2, "keep_s": DAY_S}
    styles = []
    for colour in ("red", "green", "blue"):
        (site / "css" / "site.css").write_text(f"body {{ color: {colour} }}")
        report = publisher(edge, clock, **options).publish(site)
        styles.append(report.manifest["css/site.css"])
        clock.advance(60.0)
    assert [edge.fetch(path) is not None for path in styles] == [True, True, True]  # replaced minutes ago
    clock.advance(2 * DAY_S)
    report = publisher(edge, clock, **options).publish(site)  # the same again, days later, is no new generation
    assert report.removed == [styles[0]]
    assert [edge.fetch(path) is not None for path in styles] == [False, True, True]


def test_nothing_foreign_is_ever_collected(edge: Distribution, clock: ManualClock, site: Path) -> None:
    edge.publish("/foreign.txt", b"mine", content_type="text/plain", ttl_s=60)
    publisher(edge, clock, keep=1, keep_s=0.0).publish(site)
    (site / "index.html").unlink()
    report = publisher(edge, clock, keep=1, keep_s=0.0).publish(site)
    assert report.removed == ["/index.html"]
    assert edge.fetch("/foreign.txt") is not None


def test_damaged_generations_remove_nothing(edge: Distribution, clock: ManualClock, site: Path) -> None:
    publisher(edge, clock).publish(site)
    edge.publish("/asset-generations.json", b"{", content_type="application/json", ttl_s=60)
    with pytest.raises(ConfigurationError, match="nothing was removed"):
        publisher(edge, clock).publish(site)


def test_a_compressed_variant_is_served_to_who_takes_it_and_falls_with_its_object(
    edge: Distribution, clock: ManualClock, site: Path
) -> None:
    (site / "big.html").write_text("<p>hello</p>" * 500)
    publisher(edge, clock).publish(site)
    plain = edge.fetch("/big.html", accept_encoding="identity, gzip;q=0")
    packed = edge.fetch("/big.html", accept_encoding="br, gzip;q=0.5")
    assert plain is not None
    assert packed is not None
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(packed.body) == plain.body
    assert packed.etag != plain.etag
    edge.remove("/big.html")
    assert edge.fetch("/big.html", accept_encoding="gzip") is None


@pytest.mark.parametrize("base", ["", "/assets", "assets/", "/../"])
def test_a_bad_base_is_refused(edge: Distribution, clock: ManualClock, site: Path, base: str) -> None:
    with pytest.raises(ConfigurationError):
        publisher(edge, clock, base=base).publish(site)
