"""
Fastly, Cloudflare and Varnish by their interfaces: whole purges through a real socket to a local stand-in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.standins import cloudflare, fastly
from tests.standins.cloudflare import CloudflareStandIn
from tests.standins.fastly import FastlyStandIn
from tests.standins.serving import Reply, Request, Serving
from tiercel._async.edge import open_edge
from tiercel._async.edge_distribution import AsyncDistribution
from tiercel._core.clock import ManualClock
from tiercel._edges.rest import RestClient
from tiercel.cdn.faults import SendRefused
from tiercel.cdn.httpcall import HttpAnswer, HttpCall, retry_after_s
from tiercel.cdn.purge import PurgeItem, PurgeRequest, PurgeTicket
from tiercel.errors import ConfigurationError, TierTimeout, TierUnavailable


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def fastly_api(clock: ManualClock) -> Iterator[FastlyStandIn]:
    with FastlyStandIn(clock, requests_hour=20) as server:
        yield server


@pytest.fixture
def cloudflare_api(clock: ManualClock) -> Iterator[CloudflareStandIn]:
    with CloudflareStandIn(clock) as server:
        yield server


async def opened(url: str, token: str, tmp_path: Path, clock: ManualClock) -> AsyncDistribution:
    (tmp_path / "token").write_text(token + "\n")
    return await open_edge(f"{url}&token_file={tmp_path}/token&window=1", state_dir=tmp_path, clock=clock, start=False)


async def finish(edge: AsyncDistribution, ticket: PurgeTicket, clock: ManualClock, rounds: int = 2000) -> str:
    assert edge.purger is not None
    for _ in range(rounds):
        status = await edge.status(ticket)
        if status.state != "pending":
            return status.state
        clock.advance(await edge.purger.step())
    pytest.fail(f"still pending: {edge.purger.log.batches('new')}")


async def test_fastly_keys_go_in_batches_softly(fastly_api: FastlyStandIn, tmp_path: Path, clock: ManualClock) -> None:
    edge = await opened(f"fastly://SU1?endpoint={fastly_api.url}&overflow=uncacheable", fastly.TOKEN, tmp_path, clock)
    ticket = await edge.purge(PurgeRequest(tags=[f"p:{number}" for number in range(600)], tenant="acme", soft=True))
    assert await finish(edge, ticket, clock) == "done"
    assert fastly_api.requests == 3  # 256 + 256 + 88
    assert {(kind, soft) for kind, _, soft in fastly_api.purged} == {("tag", True)}
    assert {key for _, key, _ in fastly_api.purged} == {edge.codec.encode("acme", f"p:{n}") for n in range(600)}
    await edge.aclose()


async def test_fastly_paths_need_the_host_and_go_one_by_one(
    fastly_api: FastlyStandIn, tmp_path: Path, clock: ManualClock
) -> None:
    edge = await opened(f"fastly://SU1?endpoint={fastly_api.url}&host=shop.example", fastly.TOKEN, tmp_path, clock)
    ticket = await edge.purge(PurgeRequest(paths=["/a", "/ä?x=1"]))
    assert await finish(edge, ticket, clock) == "done"
    assert {value for _, value, _ in fastly_api.purged} == {"shop.example/a", "shop.example/%C3%A4?x=1"}
    await edge.aclose()


async def test_fastly_has_no_prefixes_so_everything_falls(
    fastly_api: FastlyStandIn, tmp_path: Path, clock: ManualClock
) -> None:
    edge = await opened(f"fastly://SU1?endpoint={fastly_api.url}", fastly.TOKEN, tmp_path, clock)
    assert await finish(edge, await edge.purge(PurgeRequest(paths=["/p/*"])), clock) == "done"
    assert fastly_api.purged == [("all", "", False)]
    await edge.aclose()


async def test_fastlys_hourly_limit_is_waited_for_by_its_own_clock(tmp_path: Path, clock: ManualClock) -> None:
    with FastlyStandIn(clock, requests_hour=2) as api:
        edge = await opened(f"fastly://SU1?endpoint={api.url}&host=h.example", fastly.TOKEN, tmp_path, clock)
        started_s = clock.wall()
        ticket = await edge.purge(PurgeRequest(paths=[f"/{number}" for number in range(5)]))
        assert await finish(edge, ticket, clock) == "done"
        assert len(api.purged) == 5
        assert 2 * 3600 <= clock.wall() - started_s < 3 * 3600  # two resets, and not a poll in between
        assert api.requests <= 8
        await edge.aclose()


async def test_an_outage_is_retried_for_ever_with_pauses(
    fastly_api: FastlyStandIn, tmp_path: Path, clock: ManualClock
) -> None:
    fastly_api.failing = 10
    edge = await opened(f"fastly://SU1?endpoint={fastly_api.url}", fastly.TOKEN, tmp_path, clock)
    assert await finish(edge, await edge.purge(PurgeRequest(tags=["x"])), clock) == "done"
    assert fastly_api.requests == 11
    await edge.aclose()


async def test_wrong_credentials_are_found_by_a_ping_and_do_not_kill_purges(
    fastly_api: FastlyStandIn, tmp_path: Path, clock: ManualClock
) -> None:
    edge = await opened(f"fastly://SU1?endpoint={fastly_api.url}", "wrong", tmp_path, clock)
    with pytest.raises(SendRefused, match="Provided credentials"):
        await edge.ping()
    ticket = await edge.purge(PurgeRequest(tags=["x"]))
    assert edge.purger is not None
    for _ in range(5):
        clock.advance(await edge.purger.step())
    assert (await edge.status(ticket)).state == "pending"
    await edge.aclose()
    mended = await opened(f"fastly://SU1?endpoint={fastly_api.url}", fastly.TOKEN, tmp_path, clock)
    assert await finish(mended, ticket, clock) == "done"
    await mended.aclose()


async def test_cloudflare_takes_a_hundred_of_a_kind(
    cloudflare_api: CloudflareStandIn, tmp_path: Path, clock: ManualClock
) -> None:
    url = f"cloudflare://Z1?endpoint={cloudflare_api.url}&host=shop.example&overflow=uncacheable"
    edge = await opened(url, cloudflare.TOKEN, tmp_path, clock)
    request = PurgeRequest(
        tags=[f"p:{number}" for number in range(150)], paths=["/a", "/p/*"], hosts=["img.example"], tenant="acme"
    )
    assert await finish(edge, await edge.purge(request), clock) == "done"
    assert cloudflare_api.requests == 5  # host, two of tags, prefix, file
    assert ("files", "https://shop.example/a", False) in cloudflare_api.purged
    assert ("prefixes", "shop.example/p/", False) in cloudflare_api.purged
    assert ("hosts", "img.example", False) in cloudflare_api.purged
    await edge.aclose()


async def test_cloudflare_invalidates_softly_at_its_own_address(
    cloudflare_api: CloudflareStandIn, tmp_path: Path, clock: ManualClock
) -> None:
    edge = await opened(f"cloudflare://Z1?endpoint={cloudflare_api.url}", cloudflare.TOKEN, tmp_path, clock)
    assert await finish(edge, await edge.purge(PurgeRequest(everything=True, soft=True)), clock) == "done"
    assert cloudflare_api.purged == [("all", "", True)]
    await edge.aclose()


async def test_cloudflares_free_plan_is_kept_to(
    cloudflare_api: CloudflareStandIn, tmp_path: Path, clock: ManualClock
) -> None:
    edge = await opened(f"cloudflare://Z1?endpoint={cloudflare_api.url}", cloudflare.TOKEN, tmp_path, clock)
    tickets = []
    for number in range(60):
        tickets.append(await edge.purge(PurgeRequest(tags=[f"p:{number}"])))
        assert edge.purger is not None
        clock.advance(1.0)
        await edge.purger.step()
    assert await finish(edge, tickets[-1], clock) == "done"
    assert {await finish(edge, ticket, clock) for ticket in tickets} == {"done"}
    assert cloudflare_api.throttled == 0  # our own bucket is the same size
    await edge.aclose()


async def test_cloudflares_429_is_waited_for(
    cloudflare_api: CloudflareStandIn, tmp_path: Path, clock: ManualClock
) -> None:
    url = f"cloudflare://Z1?endpoint={cloudflare_api.url}&rate=100&burst=100&host=h.example"
    edge = await opened(url, cloudflare.TOKEN, tmp_path, clock)
    tickets = []
    for number in range(40):
        tickets.append(await edge.purge(PurgeRequest(tags=[f"p:{number}"])))
        clock.advance(1.0)
        assert edge.purger is not None
        await edge.purger.step()
    assert {await finish(edge, ticket, clock) for ticket in tickets} == {"done"}
    assert cloudflare_api.throttled >= 1
    await edge.aclose()


async def test_a_wrong_zone_is_named(cloudflare_api: CloudflareStandIn, tmp_path: Path, clock: ManualClock) -> None:
    edge = await opened(f"cloudflare://Z9?endpoint={cloudflare_api.url}", cloudflare.TOKEN, tmp_path, clock)
    with pytest.raises(SendRefused, match="zone"):
        await edge.ping()
    await edge.aclose()


@pytest.mark.parametrize("content", ["", "two tokens", "\n"])
async def test_a_token_file_holds_one_token(tmp_path: Path, clock: ManualClock, content: str) -> None:
    with pytest.raises(ConfigurationError, match="token_file"):
        await opened("fastly://SU1?", content, tmp_path, clock)
    with pytest.raises(ConfigurationError, match="token_file"):
        await open_edge("fastly://SU1")


async def test_an_edge_without_an_origin_publishes_nothing(
    cloudflare_api: CloudflareStandIn, tmp_path: Path, clock: ManualClock
) -> None:
    edge = await opened(f"cloudflare://Z1?endpoint={cloudflare_api.url}", cloudflare.TOKEN, tmp_path, clock)
    with pytest.raises(ConfigurationError, match="give it an origin"):
        await edge.publish("/a", b"", content_type="text/plain", ttl_s=1)
    await edge.aclose()


async def test_a_folder_behind_a_cdn_is_published_to_and_purged(
    cloudflare_api: CloudflareStandIn, tmp_path: Path, clock: ManualClock
) -> None:
    url = f"cloudflare://Z1?endpoint={cloudflare_api.url}&host=shop.example&origin=folder://{tmp_path}/origin"
    edge = await opened(url, cloudflare.TOKEN, tmp_path, clock)
    for body in (b"one", b"two"):
        published = await edge.publish("/a", body, content_type="text/plain", ttl_s=60, tags=["x"])
    assert published.ticket is not None  # the second one replaced what the edge may hold
    assert await finish(edge, published.ticket, clock) == "done"
    assert cloudflare_api.purged == [("files", "https://shop.example/a", False)]
    await edge.aclose()


async def test_where_the_cdn_knows_no_tags_what_was_served_is_purged_by_path(
    fastly_api: FastlyStandIn, tmp_path: Path, clock: ManualClock
) -> None:
    url = f"fastly://SU1?endpoint={fastly_api.url}&host=h.example&alone=60"
    edge = await opened(url, fastly.TOKEN, tmp_path, clock)
    clock.advance(60)  # what was served before the start has ended
    assert edge.purger is not None
    sender = edge.purger.sender
    sender.capabilities = replace(sender.capabilities, tags=False)
    edge.served("/p/1", ["product:1"], "acme")
    edge.served("/p/2", ["product:2"], "acme")
    ticket = await edge.purge(PurgeRequest(tags=["product:1"], tenant="acme"))
    assert await finish(edge, ticket, clock) == "done"
    assert fastly_api.purged == [("path", "h.example/p/1", False)]
    await edge.aclose()


@pytest.mark.parametrize("alone", ["", "&alone=60"])
async def test_where_others_may_have_served_too_everything_falls(
    fastly_api: FastlyStandIn, tmp_path: Path, clock: ManualClock, alone: str
) -> None:
    """Another node, or the process before this one: their pages are in no index here."""
    url = f"fastly://SU1?endpoint={fastly_api.url}&host=h.example{alone}"
    edge = await opened(url, fastly.TOKEN, tmp_path, clock)
    assert edge.purger is not None
    sender = edge.purger.sender
    sender.capabilities = replace(sender.capabilities, tags=False)
    edge.served("/p/1", ["product:1"], "acme")
    ticket = await edge.purge(PurgeRequest(tags=["product:1"], tenant="acme"))
    assert await finish(edge, ticket, clock) == "done"
    assert [kind for kind, _, _ in fastly_api.purged] == ["all"]
    await edge.aclose()


async def test_an_origin_that_cannot_drop_now_is_asked_again_before_the_purge_is_sent(
    cloudflare_api: CloudflareStandIn, tmp_path: Path, clock: ManualClock
) -> None:
    url = f"cloudflare://Z1?endpoint={cloudflare_api.url}&host=h.example&origin=folder://{tmp_path}/origin"
    edge = await opened(url, cloudflare.TOKEN, tmp_path, clock)
    await edge.publish("/a", b"old", content_type="text/plain", ttl_s=60, tags=["x"])
    origin = edge.origin
    assert origin is not None
    real = origin.drop
    failures: list[Sequence[PurgeItem]] = []

    def failing(items: Sequence[PurgeItem]) -> list[str]:
        if len(failures) < 3:
            failures.append(items)
            raise TierUnavailable("the disk is away")
        return real(items)

    origin.drop = failing  # type: ignore[method-assign]  # a disk that is away for a while
    ticket = await edge.purge(PurgeRequest(tags=["x"]))
    assert await finish(edge, ticket, clock) == "done"
    assert len(failures) == 3
    assert await edge.fetch("/a") is None
    assert {kind for kind, _, _ in cloudflare_api.purged} == {"tags"}
    await edge.aclose()


async def test_a_response_with_too_many_tags_is_not_kept_where_that_is_the_setting(
    tmp_path: Path, clock: ManualClock
) -> None:
    url = f"varnish://127.0.0.1:1?overflow=uncacheable&origin=folder://{tmp_path}/origin"
    edge = await open_edge(url, clock=clock, start=False)
    await edge.publish("/a", b"", content_type="text/plain", ttl_s=60, tags=[f"p:{number}" for number in range(500)])
    found = await edge.fetch("/a")
    assert found is not None
    assert (found.headers["Cache-Control"], found.ttl_s) == ("no-store", 0.0)
    await edge.aclose()


def test_the_client_replaces_a_connection_that_went_stale() -> None:
    served: list[str] = []

    def answer(request: Request) -> Reply:
        served.append(request.path)
        return Reply(200, b"{}", {"Connection": "close"} if request.path == "/last" else {})

    with Serving(answer) as server:
        client = RestClient(server.url)
        for path in ("/a", "/last", "/b"):
            assert client.call(HttpCall("GET", path)).status == 200
        client.close()
    assert served == ["/a", "/last", "/b"]
    with pytest.raises(TierUnavailable):
        client.call(HttpCall("GET", "/gone"))


def test_a_server_that_says_nothing_is_a_timeout() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = RestClient(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout_s=0.2)
        with pytest.raises(TierTimeout):
            client.call(HttpCall("GET", "/"))


@pytest.mark.parametrize("address", ["ftp://x", "http://", "nonsense"])
def test_a_strange_endpoint_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError):
        RestClient(address)


def test_pauses_are_read_from_both_spellings() -> None:
    assert retry_after_s({"retry-after": "7"}, 0.0) == 7.0
    assert retry_after_s({"fastly-ratelimit-reset": "110"}, 100.0) == 10.0
    assert retry_after_s({"retry-after": "tomorrow"}, 0.0) is None
    assert HttpAnswer(200, {}, b"[1]").json() == {}
