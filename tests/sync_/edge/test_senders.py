# Generated from tests/async_/edge/test_senders.py by tools/unasync.py. Do not edit.
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
from tiercel._sync.edge import open_edge
from tiercel._sync.edge_distribution import Distribution
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


def opened(url: str, token: str, tmp_path: Path, clock: ManualClock) -> Distribution:
    (tmp_path / "token").write_text(token + "\n")
    return open_edge(f"{url}&token_file={tmp_path}/token&window=1", state_dir=tmp_path, clock=clock, start=False)


def finish(edge: Distribution, ticket: PurgeTicket, clock: ManualClock, rounds: int = 2000) -> str:
    assert edge.purger is not None
    for _ in range(rounds):
        status = edge.status(ticket)
        if status.state != "pending":
            return status.state
        clock.advance(edge.purger.step())
    pytest.fail(f"still pending: {edge.purger.log.batches('new')}")


def test_fastly_keys_go_in_batches_softly(fastly_api: FastlyStandIn, tmp_path: Path, clock: ManualClock) -> None:
    edge = opened(f"fastly://SU1?endpoint={fastly_api.url}&overflow=uncacheable", fastly.TOKEN, tmp_path, clock)
    ticket = edge.purge(PurgeRequest(tags=[f"p:{number}" for number in range(600)], tenant="acme", soft=True))
    assert finish(edge, ticket, clock) == "done"
    assert fastly_api.requests == 3  # 256 + 256 + 88
    assert {(kind, soft) for kind, _, soft in fastly_api.purged} == {("tag", True)}
    assert {key for _, key, _ in fastly_api.purged} == {edge.codec.encode("acme", f"p:{n}") for n in range(600)}
    edge.close()


def test_fastly_paths_need_the_host_and_go_one_by_one(
    fastly_api: FastlyStandIn, tmp_path: Path, clock: ManualClock
) -> None:
    edge = opened(f"fastly://SU1?endpoint={fastly_api.url}&host=shop.example", fastly.TOKEN, tmp_path, clock)
    ticket = edge.purge(PurgeRequest(paths=["/a", "/ä?x=1"]))
    assert finish(edge, ticket, clock) == "done"
    assert {value for _, value, _ in fastly_api.purged} == {"shop.example/a", "shop.example/%C3%A4?x=1"}
    edge.close()


def test_fastly_has_no_prefixes_so_everything_falls(
    fastly_api: FastlyStandIn, tmp_path: Path, clock: ManualClock
) -> None:
    edge = opened(f"fastly://SU1?endpoint={fastly_api.url}", fastly.TOKEN, tmp_path, clock)
    assert finish(edge, edge.purge(PurgeRequest(paths=["/p/*"])), clock) == "done"
    assert fastly_api.purged == [("all", "", False)]
    edge.close()


def test_fastlys_hourly_limit_is_waited_for_by_its_own_clock(tmp_path: Path, clock: ManualClock) -> None:
    with FastlyStandIn(clock, requests_hour=2) as api:
        edge = opened(f"fastly://SU1?endpoint={api.url}&host=h.example", fastly.TOKEN, tmp_path, clock)
        started_s = clock.wall()
        ticket = edge.purge(PurgeRequest(paths=[f"/{number}" for number in range(5)]))
        assert finish(edge, ticket, clock) == "done"
        assert len(api.purged) == 5
        assert 2 * 3600 <= clock.wall() - started_s < 3 * 3600  # two resets, and not a poll in between
        assert api.requests <= 8
        edge.close()


def test_an_outage_is_retried_for_ever_with_pauses(
    fastly_api: FastlyStandIn, tmp_path: Path, clock: ManualClock
) -> None:
    fastly_api.failing = 10
    edge = opened(f"fastly://SU1?endpoint={fastly_api.url}", fastly.TOKEN, tmp_path, clock)
    assert finish(edge, edge.purge(PurgeRequest(tags=["x"])), clock) == "done"
    assert fastly_api.requests == 11
    edge.close()


def test_wrong_credentials_are_found_by_a_ping_and_do_not_kill_purges(
    fastly_api: FastlyStandIn, tmp_path: Path, clock: ManualClock
) -> None:
    edge = opened(f"fastly://SU1?endpoint={fastly_api.url}", "wrong", tmp_path, clock)
    with pytest.raises(SendRefused, match="Provided credentials"):
        edge.ping()
    ticket = edge.purge(PurgeRequest(tags=["x"]))
    assert edge.purger is not None
    for _ in range(5):
        clock.advance(edge.purger.step())
    assert (edge.status(ticket)).state == "pending"
    edge.close()
    mended = opened(f"fastly://SU1?endpoint={fastly_api.url}", fastly.TOKEN, tmp_path, clock)
    assert finish(mended, ticket, clock) == "done"
    mended.close()


def test_cloudflare_takes_a_hundred_of_a_kind(
    cloudflare_api: CloudflareStandIn, tmp_path: Path, clock: ManualClock
) -> None:
    url = f"cloudflare://Z1?endpoint={cloudflare_api.url}&host=shop.example&overflow=uncacheable"
    edge = opened(url, cloudflare.TOKEN, tmp_path, clock)
    request = PurgeRequest(
        tags=[f"p:{number}" for number in range(150)], paths=["/a", "/p/*"], hosts=["img.example"], tenant="acme"
    )
    assert finish(edge, edge.purge(request), clock) == "done"
    assert cloudflare_api.requests == 5  # host, two of tags, prefix, file
    assert ("files", "https://shop.example/a", False) in cloudflare_api.purged
    assert ("prefixes", "shop.example/p/", False) in cloudflare_api.purged
    assert ("hosts", "img.example", False) in cloudflare_api.purged
    edge.close()


def test_cloudflare_invalidates_softly_at_its_own_address(
    cloudflare_api: CloudflareStandIn, tmp_path: Path, clock: ManualClock
) -> None:
    edge = opened(f"cloudflare://Z1?endpoint={cloudflare_api.url}", cloudflare.TOKEN, tmp_path, clock)
    assert finish(edge, edge.purge(PurgeRequest(everything=True, soft=True)), clock) == "done"
    assert cloudflare_api.purged == [("all", "", True)]
    edge.close()


def test_cloudflares_free_plan_is_kept_to(
    cloudflare_api: CloudflareStandIn, tmp_path: Path, clock: ManualClock
) -> None:
    edge = opened(f"cloudflare://Z1?endpoint={cloudflare_api.url}", cloudflare.TOKEN, tmp_path, clock)
    tickets = []
    for number in range(60):
        tickets.append(edge.purge(PurgeRequest(tags=[f"p:{number}"])))
        assert edge.purger is not None
        clock.advance(1.0)
        edge.purger.step()
    assert finish(edge, tickets[-1], clock) == "done"
    assert {finish(edge, ticket, clock) for ticket in tickets} == {"done"}
    assert cloudflare_api.throttled == 0  # our own bucket is the same size
    edge.close()


def test_cloudflares_429_is_waited_for(
    cloudflare_api: CloudflareStandIn, tmp_path: Path, clock: ManualClock
) -> None:
    url = f"cloudflare://Z1?endpoint={cloudflare_api.url}&rate=100&burst=100&host=h.example"
    edge = opened(url, cloudflare.TOKEN, tmp_path, clock)
    tickets = []
    for number in range(40):
        tickets.append(edge.purge(PurgeRequest(tags=[f"p:{number}"])))
        clock.advance(1.0)
        assert edge.purger is not None
        edge.purger.step()
    assert {finish(edge, ticket, clock) for ticket in tickets} == {"done"}
    assert cloudflare_api.throttled >= 1
    edge.close()


def test_a_wrong_zone_is_named(cloudflare_api: CloudflareStandIn, tmp_path: Path, clock: ManualClock) -> None:
    edge = opened(f"cloudflare://Z9?endpoint={cloudflare_api.url}", cloudflare.TOKEN, tmp_path, clock)
    with pytest.raises(SendRefused, match="zone"):
        edge.ping()
    edge.close()


@pytest.mark.parametrize("content", ["", "two tokens", "\n"])
def test_a_token_file_holds_one_token(tmp_path: Path, clock: ManualClock, content: str) -> None:
    with pytest.raises(ConfigurationError, match="token_file"):
        opened("fastly://SU1?", content, tmp_path, clock)
    with pytest.raises(ConfigurationError, match="token_file"):
        open_edge("fastly://SU1")


def test_an_edge_without_an_origin_publishes_nothing(
    cloudflare_api: CloudflareStandIn, tmp_path: Path, clock: ManualClock
) -> None:
    edge = opened(f"cloudflare://Z1?endpoint={cloudflare_api.url}", cloudflare.TOKEN, tmp_path, clock)
    with pytest.raises(ConfigurationError, match="give it an origin"):
        edge.publish("/a", b"", content_type="text/plain", ttl_s=1)
    edge.close()


def test_a_folder_behind_a_cdn_is_published_to_and_purged(
    cloudflare_api: CloudflareStandIn, tmp_path: Path, clock: ManualClock
) -> None:
    url = f"cloudflare://Z1?endpoint={cloudflare_api.url}&host=shop.example&origin=folder://{tmp_path}/origin"
    edge = opened(url, cloudflare.TOKEN, tmp_path, clock)
    for body in (b"one", b"two"):
        published = edge.publish("/a", body, content_type="text/plain", ttl_s=60, tags=["x"])
    assert published.ticket is not None  # the second one replaced what the edge may hold
    assert finish(edge, published.ticket, clock) == "done"
    assert cloudflare_api.purged == [("files", "https://shop.example/a", False)]
    edge.close()


def test_where_the_cdn_knows_no_tags_what_was_served_is_purged_by_path(
    fastly_api: FastlyStandIn, tmp_path: Path, clock: ManualClock
) -> None:
    url = f"fastly://SU1?endpoint={fastly_api.url}&host=h.example&alone=60"
    edge = opened(url, fastly.TOKEN, tmp_path, clock)
    clock.advance(60)  # what was served before the start has ended
    assert edge.purger is not None
    sender = edge.purger.sender
    sender.capabilities = replace(sender.capabilities, tags=False)
    edge.served("/p/1", ["product:1"], "acme")
    edge.served("/p/2", ["product:2"], "acme")
    ticket = edge.purge(PurgeRequest(tags=["product:1"], tenant="acme"))
    assert finish(edge, ticket, clock) == "done"
    assert fastly_api.purged == [("path", "h.example/p/1", False)]
    edge.close()


@pytest.mark.parametrize("alone", ["", "&alone=60"])
def test_where_others_may_have_served_too_everything_falls(
    fastly_api: FastlyStandIn, tmp_path: Path, clock: ManualClock, alone: str
) -> None:
    """Another node, or the process before this one: their pages are in no index here."""
    url = f"fastly://SU1?endpoint={fastly_api.url}&host=h.example{alone}"
    edge = opened(url, fastly.TOKEN, tmp_path, clock)
    assert edge.purger is not None
    sender = edge.purger.sender
    sender.capabilities = replace(sender.capabilities, tags=False)
    edge.served("/p/1", ["product:1"], "acme")
    ticket = edge.purge(PurgeRequest(tags=["product:1"], tenant="acme"))
    assert finish(edge, ticket, clock) == "done"
    assert [kind for kind, _, _ in fastly_api.purged] == ["all"]
    edge.close()


def test_an_origin_that_cannot_drop_now_is_asked_again_before_the_purge_is_sent(
    cloudflare_api: CloudflareStandIn, tmp_path: Path, clock: ManualClock
) -> None:
    url = f"cloudflare://Z1?endpoint={cloudflare_api.url}&host=h.example&origin=folder://{tmp_path}/origin"
    edge = opened(url, cloudflare.TOKEN, tmp_path, clock)
    edge.publish("/a", b"old", content_type="text/plain", ttl_s=60, tags=["x"])
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
    ticket = edge.purge(PurgeRequest(tags=["x"]))
    assert finish(edge, ticket, clock) == "done"
    assert len(failures) == 3
    assert edge.fetch("/a") is None
    assert {kind for kind, _, _ in cloudflare_api.purged} == {"tags"}
    edge.close()


def test_a_response_with_too_many_tags_is_not_kept_where_that_is_the_setting(
    tmp_path: Path, clock: ManualClock
) -> None:
    url = f"varnish://127.0.0.1:1?overflow=uncacheable&origin=folder://{tmp_path}/origin"
    edge = open_edge(url, clock=clock, start=False)
    edge.publish("/a", b"", content_type="text/plain", ttl_s=60, tags=[f"p:{number}" for number in range(500)])
    found = edge.fetch("/a")
    assert found is not None
    assert (found.headers["Cache-Control"], found.ttl_s) == ("no-store", 0.0)
    edge.close()


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
