"""
The folder edge: the embedded default, on a disk that may be shared and a clock that only the test moves.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tiercel._async.edge import open_edge
from tiercel._async.edge_distribution import AsyncDistribution
from tiercel._core.clock import ManualClock
from tiercel._edges.folder import FolderOrigin
from tiercel.cdn.purge import PurgeRequest, PurgeTicket
from tiercel.errors import ConfigurationError, TierUnavailable

PLAIN = "text/plain; charset=utf-8"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def edge(tmp_path: Path, clock: ManualClock) -> AsyncIterator[AsyncDistribution]:
    opened = await open_edge(f"folder://{tmp_path}/edge", clock=clock)
    yield opened
    await opened.aclose()


async def publish(edge: AsyncDistribution, path: str, body: bytes = b"body", **options: object) -> bool:
    published = await edge.publish(path, body, **({"content_type": PLAIN, "ttl_s": 60.0} | options))  # type: ignore[arg-type]
    return published.changed


async def test_what_is_published_is_served_with_its_headers_and_age(
    edge: AsyncDistribution, clock: ManualClock
) -> None:
    await publish(edge, "/a.txt", grace_s=10.0, keep_s=20.0, browser_ttl_s=5.0)
    clock.advance(61.0)
    found = await edge.fetch("/a.txt")
    assert found is not None
    assert (found.body, found.content_type, found.age_s(clock.wall())) == (b"body", PLAIN, 61.0)
    assert found.freshness(clock.wall()) == "stale"
    assert found.headers["Cache-Control"] == "public, max-age=5"
    assert found.headers["CDN-Cache-Control"] == "max-age=60, stale-while-revalidate=10, stale-if-error=30"


async def test_the_same_again_changes_nothing_and_new_content_does(edge: AsyncDistribution, clock: ManualClock) -> None:
    assert await publish(edge, "/a.txt")
    assert not await publish(edge, "/a.txt")
    assert await publish(edge, "/a.txt", b"new")
    assert await publish(edge, "/a.txt", b"new", content_type="text/html")
    clock.advance(30.0)
    assert not await publish(edge, "/a.txt", b"new", content_type="text/html")  # unchanged, but young again
    found = await edge.fetch("/a.txt")
    assert found is not None
    assert found.age_s(clock.wall()) == 0.0


async def test_an_immutable_object_is_written_once(edge: AsyncDistribution, clock: ManualClock) -> None:
    assert await publish(edge, "/a.1234.css", immutable=True)
    clock.advance(1e9)
    assert not await publish(edge, "/a.1234.css", immutable=True)
    found = await edge.fetch("/a.1234.css")
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
async def test_a_purge_fells_what_it_names_and_nothing_else(
    edge: AsyncDistribution, request_: PurgeRequest, left: list[str]
) -> None:
    await publish(edge, "/p/1", tags=["product:1"], tenant="acme")
    await publish(edge, "/p/2", tags=["product:2"], tenant="acme")
    await publish(edge, "/p/3", tags=["product:3"], tenant="globex")
    await publish(edge, "/q/1", tags=["product:1", "product:2"], tenant="acme")
    ticket = await edge.purge(request_)
    assert (await edge.status(ticket)).state == "done"
    assert edge.origin is not None
    assert edge.origin.paths() == left


async def test_a_page_with_hundreds_of_products_falls_with_any_of_them(edge: AsyncDistribution) -> None:
    await publish(edge, "/list", tags=[f"product:{number}" for number in range(900)], tenant="acme")
    await edge.purge(PurgeRequest(tags=["product:899"], tenant="acme"))
    assert await edge.fetch("/list") is None


async def test_a_tag_that_an_object_has_lost_no_longer_fells_it(edge: AsyncDistribution) -> None:
    await publish(edge, "/a", tags=["x"])
    await publish(edge, "/a", tags=["y"])
    await edge.purge(PurgeRequest(tags=["x"]))
    assert await edge.fetch("/a") is not None
    await edge.purge(PurgeRequest(tags=["y"]))
    assert await edge.fetch("/a") is None


@pytest.mark.parametrize("path", ["/../x", "/a/..", "relative", "/a\\b", "/a\x00", "/a%2e%2e/b", "/" + "x" * 2000])
async def test_nothing_leaves_the_folder(edge: AsyncDistribution, tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigurationError):
        await publish(edge, path)
    with pytest.raises(ConfigurationError):
        await edge.fetch(path)
    with pytest.raises(ConfigurationError):
        await edge.remove(path)
    assert os.listdir(tmp_path) == ["edge"]  # noqa: PTH208 - names are what counts


async def test_a_path_may_be_file_and_folder_and_differ_by_case(edge: AsyncDistribution) -> None:
    for path in ("/p", "/p/1", "/P"):
        await publish(edge, path, path.encode())
    for path in ("/p", "/p/1", "/P"):
        found = await edge.fetch(path)
        assert found is not None
        assert found.body == path.encode()


@pytest.mark.parametrize("damage", [b"", b"{}", b"nonsense", b'{"path":"/a","tags":[],"size_bytes":99}\nshort'])
async def test_a_damaged_file_is_a_miss_and_is_written_again(
    edge: AsyncDistribution, tmp_path: Path, damage: bytes
) -> None:
    await publish(edge, "/a")
    [file] = [found for found in (tmp_path / "edge" / "objects").rglob("*") if found.is_file()]
    file.write_bytes(damage)
    assert await edge.fetch("/a") is None
    assert await publish(edge, "/a")
    assert await edge.fetch("/a") is not None


async def test_a_truncated_file_is_a_miss_at_every_length(edge: AsyncDistribution, tmp_path: Path) -> None:
    await publish(edge, "/a")
    [file] = [found for found in (tmp_path / "edge" / "objects").rglob("*") if found.is_file()]
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert await edge.fetch("/a") is None, length


async def test_an_edge_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TierUnavailable):
        await open_edge(f"folder://{tmp_path}/file")


async def test_a_foreign_ticket_is_refused(edge: AsyncDistribution) -> None:
    with pytest.raises(ConfigurationError):
        await edge.status(PurgeTicket("another", "-", 0.0, 1))


async def test_two_processes_share_a_folder(edge: AsyncDistribution, tmp_path: Path, clock: ManualClock) -> None:
    other = await open_edge(f"folder://{tmp_path}/edge", clock=clock)
    await publish(edge, "/a", tags=["x"])
    await other.purge(PurgeRequest(tags=["x"]))
    assert await edge.fetch("/a") is None
    await other.ping()
    await other.aclose()


async def test_a_crash_between_object_and_marker_is_made_good_by_a_repeat(tmp_path: Path) -> None:
    origin = FolderOrigin(tmp_path)
    edge = await open_edge(f"folder://{tmp_path}")
    await publish(edge, "/a", tags=["x"])
    [item] = [one for one in PurgeRequest(tags=["x"]).items(edge.codec) if one.value.startswith("x~")]
    (tmp_path / "tags" / item.value / ("0" * 64)).touch()  # a marker whose object was never written
    assert origin.drop([item]) == ["/a"]
    assert origin.drop([item]) == []
