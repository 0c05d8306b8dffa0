# Generated from tests/async_/edge/test_folder_edge.py by tools/unasync.py. Do not edit.
"""
The folder edge: the embedded default, on a disk that may be shared and a clock that only the test moves.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiercel._sync.edge import open_edge
from tiercel._sync.edge_distribution import Distribution
from tiercel._core.clock import ManualClock
from tiercel._edges.folder import FolderOrigin
from tiercel.cdn.purge import PurgeRequest, PurgeTicket
from tiercel.errors import ConfigurationError, TierUnavailable

PLAIN = "text/plain; charset=utf-8"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def edge(tmp_path: Path, clock: ManualClock) -> Iterator[Distribution]:
    opened = open_edge(f"folder://{tmp_path}/edge", clock=clock)
    yield opened
    opened.close()


def publish(edge: Distribution, path: str, body: bytes = b"body", **options: object) -> bool:
    published = edge.publish(path, body, **({"content_type": PLAIN, "ttl_s": 60.0} | options))  # type: ignore[arg-type]
    return published.changed


def test_what_is_published_is_served_with_its_headers_and_age(
    edge: Distribution, clock: ManualClock
) -> None:
    publish(edge, "/a.txt", grace_s=10.0, keep_s=20.0, browser_ttl_s=5.0)
    clock.advance(61.0)
    found = edge.fetch("/a.txt")
    assert found is not None
    assert (found.body, found.content_type, found.age_s(clock.wall())) == (b"body", PLAIN, 61.0)
    assert found.freshness(clock.wall()) == "stale"
    assert found.headers["Cache-Control"] == "public, max-age=5"
    assert found.headers["CDN-Cache-Control"] == "max-age=60, stale-while-revalidate=10, stale-if-error=30"


def test_the_same_again_changes_nothing_and_new_content_does(edge: Distribution, clock: ManualClock) -> None:
    assert publish(edge, "/a.txt")
    assert not publish(edge, "/a.txt")
    assert publish(edge, "/a.txt", b"new")
    assert publish(edge, "/a.txt", b"new", content_type="text/html")
    clock.advance(30.0)
    assert not publish(edge, "/a.txt", b"new", content_type="text/html")  # unchanged, but young again
    found = edge.fetch("/a.txt")
    assert found is not None
    assert found.age_s(clock.wall()) == 0.0


def test_an_immutable_object_is_written_once(edge: Distribution, clock: ManualClock) -> None:
    assert publish(edge, "/a.1234.css", immutable=True)
    clock.advance(1e9)
    assert not publish(edge, "/a.1234.css", immutable=True)
    found = edge.fetch("/a.1234.css")
    assert found is not None
    assert found.freshness(clock.wall()) == "fresh"


@pytest.mark.parametrize(
    ("request_", "left"),
    [
        (PurgeRequest(paths=["/p/1"]), ["/p/2", "/p/3", "/q/1"]),
        (PurgeRequest(paths=["/p/*"]), ["/q/1"]),
        (PurgeRequest(prefixes=["/p/", "/q/"]), []),
        (PurgeRequest(tags=["product:1"], tenant="acme"), ["/p/2", "/p/3"]),
        (PurgeRequest(tags=["product:1"], tenant="other"), ["/p/1", "/p/2", "/p/3", "/q/1"]),
        (PurgeRequest(everything=True, tenant="acme"), ["/p/3"]),
        (PurgeRequest(everything=True), []),
        (PurgeRequest(paths=["/p/1"], keep_origin=True), ["/p/1", "/p/2", "/p/3", "/q/1"]),
    ],
)
def test_a_purge_fells_what_it_names_and_nothing_else(
    edge: Distribution, request_: PurgeRequest, left: list[str]
) -> None:
    publish(edge, "/p/1", tags=["product:1"], tenant="acme")
    publish(edge, "/p/2", tags=["product:2"], tenant="acme")
    publish(edge, "/p/3", tags=["product:3"], tenant="globex")
    publish(edge, "/q/1", tags=["product:1", "product:2"], tenant="acme")
    ticket = edge.purge(request_)
    assert (edge.status(ticket)).state == "done"
    assert edge.origin is not None
    assert edge.origin.paths() == left


def test_a_page_with_hundreds_of_products_falls_with_any_of_them(edge: Distribution) -> None:
    publish(edge, "/list", tags=[f"product:{number}" for number in range(900)], tenant="acme")
    edge.purge(PurgeRequest(tags=["product:899"], tenant="acme"))
    assert edge.fetch("/list") is None


def test_a_tag_that_an_object_has_lost_no_longer_fells_it(edge: Distribution) -> None:
    publish(edge, "/a", tags=["x"])
    publish(edge, "/a", tags=["y"])
    edge.purge(PurgeRequest(tags=["x"]))
    assert edge.fetch("/a") is not None
    edge.purge(PurgeRequest(tags=["y"]))
    assert edge.fetch("/a") is None


@pytest.mark.parametrize("path", ["/../x", "/a/..", "relative", "/a\\b", "/a\x00", "/a%2e%2e/b", "/" + "x" * 2000])
def test_nothing_leaves_the_folder(edge: Distribution, tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigurationError):
        publish(edge, path)
    with pytest.raises(ConfigurationError):
        edge.fetch(path)
    with pytest.raises(ConfigurationError):
        edge.remove(path)
    assert os.listdir(tmp_path) == ["edge"]  # noqa: PTH208 - names are what counts


def test_a_path_may_be_file_and_folder_and_differ_by_case(edge: Distribution) -> None:
    for path in ("/p", "/p/1", "/P"):
        publish(edge, path, path.encode())
    for path in ("/p", "/p/1", "/P"):
        found = edge.fetch(path)
        assert found is not None
        assert found.body == path.encode()


@pytest.mark.parametrize("damage", [b"", b"{}", b"nonsense", b'{"path":"/a","tags":[],"size_bytes":99}\nshort'])
def test_a_damaged_file_is_a_miss_and_is_written_again(
    edge: Distribution, tmp_path: Path, damage: bytes
) -> None:
    publish(edge, "/a")
    [file] = [found for found in (tmp_path / "edge" / "objects").rglob("*") if found.is_file()]
    file.write_bytes(damage)
    assert edge.fetch("/a") is None
    assert publish(edge, "/a")
    assert edge.fetch("/a") is not None


def test_a_truncated_file_is_a_miss_at_every_length(edge: Distribution, tmp_path: Path) -> None:
    publish(edge, "/a")
    [file] = [found for found in (tmp_path / "edge" / "objects").rglob("*") if found.is_file()]
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert edge.fetch("/a") is None, length


def test_an_edge_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TierUnavailable):
        open_edge(f"folder://{tmp_path}/file")


def test_a_foreign_ticket_is_refused(edge: Distribution) -> None:
    with pytest.raises(ConfigurationError):
        edge.status(PurgeTicket("another", "-", 0.0, 1))


def test_two_processes_share_a_folder(edge: Distribution, tmp_path: Path, clock: ManualClock) -> None:
    other = open_edge(f"folder://{tmp_path}/edge", clock=clock)
    publish(edge, "/a", tags=["x"])
    other.purge(PurgeRequest(tags=["x"]))
    assert edge.fetch("/a") is None
    other.ping()
    other.close()


def test_a_crash_between_object_and_marker_is_made_good_by_a_repeat(tmp_path: Path) -> None:
    origin = FolderOrigin(tmp_path)
    edge = open_edge(f"folder://{tmp_path}")
    publish(edge, "/a", tags=["x"])
    [item] = [one for one in PurgeRequest(tags=["x"]).items(edge.codec) if one.value.startswith("x~")]
    (tmp_path / "tags" / item.value / ("0" * 64)).touch()  # a marker whose object was never written
    assert origin.drop([item]) == ["/a"]
    assert origin.drop([item]) == []
