"""
The edge as an application: hits, refreshes, collapsing, failures, and what must never be shared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.http.asking import Origin, StandingClock, ask, origin, respond, scope_of, send_scope
from tiercel.http.edge import Edge
from tiercel.http.exchange import Message, Receive, Scope, Send
from tiercel.http.relay import OriginFailure
from tiercel.http.rules.messages import EdgeOptions
from tiercel.http.storage import MemoryStorage, Purge

FRESH = ("Cache-Control", "max-age=60")
ETAG = ("ETag", '"v1"')


def edge_of(app: Origin, clock: Callable[[], float] | None = None, options: EdgeOptions | None = None) -> Edge:
    return Edge(app, clock=clock or StandingClock(), options=options)


async def test_the_second_request_is_a_hit_with_its_age_and_status() -> None:
    app, clock = origin([FRESH]), StandingClock()
    edge = edge_of(app, clock)
    first = await ask(edge, "/a")
    clock.pass_s(10)
    second = await ask(edge, "/a")
    assert app.count == 1
    assert (first.body, second.body) == (b"content", b"content")
    assert first.cache_status == "tiercel; fwd=uri-miss; stored"
    assert second.cache_status == "tiercel; hit; ttl=50"
    assert second.headers.lines("age") == ["10"]
    assert "age" not in first.headers


async def test_an_earlier_caches_status_is_kept_before_ours() -> None:
    edge = edge_of(origin([FRESH, ("Cache-Status", "inner; hit")]))
    assert (await ask(edge)).headers.lines("cache-status") == ["inner; hit", "tiercel; fwd=uri-miss; stored"]


@pytest.mark.parametrize("change", ["/b", "/a?x=1", "/A", "/a/", "/%61"])
async def test_every_spelling_of_a_target_is_an_entry_of_its_own(change: str) -> None:
    app = origin([FRESH])
    edge = edge_of(app)
    await ask(edge, "/a")
    assert not (await ask(edge, change)).is_hit


async def test_host_scheme_and_tenant_are_in_the_key() -> None:
    app = origin([FRESH])
    edge = Edge(app, tenant=lambda scope: str(scope["client"][0]), clock=StandingClock())
    await ask(edge, "/a", client="192.0.2.1")
    assert not (await ask(edge, "/a", client="192.0.2.2")).is_hit
    assert not (await ask(edge, "/a", headers=[("Host", "other.example")], client="192.0.2.1")).is_hit
    assert not (await send_scope(edge, scope_of("/a", client="192.0.2.1", scheme="https"))).is_hit
    assert (await ask(edge, "/a", headers=[("Host", "SHOP.example:80")], client="192.0.2.1")).is_hit


async def test_tenants_cannot_forge_each_others_keys() -> None:
    app = origin([FRESH])
    edge = Edge(app, tenant=lambda scope: str(scope["tenant"]), clock=StandingClock())
    await send_scope(edge, {**scope_of("/a"), "tenant": "x12:shop.example"})
    assert not (await send_scope(edge, {**scope_of("/a"), "tenant": "x"})).is_hit
    assert not (await send_scope(edge, {**scope_of("/a"), "tenant": "x1"})).is_hit


@pytest.mark.parametrize(
    "headers",
    [
        [("Host", "a.example"), ("Host", "b.example")],
        [("Host", "a.example, b.example")],
        [("Host", "a/b")],
        [("Host", "")],
    ],
)
async def test_a_request_without_exactly_one_host_is_refused(headers: list[tuple[str, str]]) -> None:
    app = origin([FRESH])
    assert (await ask(edge_of(app), headers=headers)).status == 400
    assert app.count == 0


@pytest.mark.parametrize("target", ["http://evil.example/a", "//\x00", "a", "/a b"])
async def test_a_target_that_is_no_path_is_refused(target: str) -> None:
    app = origin([FRESH])
    assert (await ask(edge_of(app), target)).status == 400
    assert app.count == 0


async def test_a_stale_response_is_validated_and_refreshed_by_304() -> None:
    app = Origin([(200, [FRESH, ETAG], b"content"), (304, [FRESH, ETAG], b"")])
    clock = StandingClock()
    edge = edge_of(app, clock)
    await ask(edge)
    clock.pass_s(60)
    validated = await ask(edge)
    again = await ask(edge)
    assert app.seen[1][2].get("if-none-match") == '"v1"'
    assert (validated.status, validated.body) == (200, b"content")
    assert validated.cache_status == "tiercel; fwd=stale; fwd-status=304; ttl=60; stored"
    assert again.is_hit
    assert app.count == 2


async def test_a_304_for_another_version_is_asked_again_without_conditions() -> None:
    app = Origin(
        [(200, [FRESH, ETAG], b"old"), (304, [("ETag", '"v2"')], b""), (200, [FRESH, ("ETag", '"v2"')], b"new")]
    )
    clock = StandingClock()
    edge = edge_of(app, clock)
    await ask(edge)
    clock.pass_s(60)
    assert (await ask(edge)).body == b"new"
    assert "if-none-match" not in app.seen[2][2]


async def test_stale_while_revalidate_answers_at_once_and_refreshes_once() -> None:
    release = asyncio.Event()
    old = [("Cache-Control", "max-age=60, stale-while-revalidate=60")]
    app = Origin([(200, old, b"old"), (200, [FRESH], b"new")])
    clock = StandingClock()
    edge = edge_of(app, clock)
    await ask(edge)
    clock.pass_s(70)
    app.before_answer = release.wait
    stale = await asyncio.gather(*(ask(edge) for _ in range(20)))
    assert {answer.body for answer in stale} == {b"old"}
    assert all(answer.cache_status == "tiercel; hit; ttl=-10" for answer in stale)
    release.set()
    await edge.aclose()
    assert app.count == 2
    assert (await ask(edge)).body == b"new"


async def test_a_refresh_that_fails_leaves_the_old_answer_and_is_reported_where_nothing_covers_it() -> None:
    app = Origin([(200, [("Cache-Control", "max-age=60, stale-while-revalidate=60, stale-if-error=20")], b"old")])
    clock = StandingClock()
    edge = edge_of(app, clock)
    await ask(edge)
    edge.origin = _failing(RuntimeError("broken"))
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["message"]))
    clock.pass_s(70)
    assert (await ask(edge, "/")).body == b"old"
    await edge.aclose()
    assert reported == []
    clock.pass_s(30)
    assert (await ask(edge, "/")).body == b"old"
    await edge.aclose()
    assert reported == ["background refresh of / failed"]


async def test_many_requests_for_the_same_thing_ask_the_origin_once() -> None:
    app = origin([FRESH])
    release = asyncio.Event()
    app.before_answer = release.wait
    edge = edge_of(app)
    asking = [asyncio.ensure_future(ask(edge)) for _ in range(50)]
    await app.until_asked(1)
    release.set()
    answers = await asyncio.gather(*asking)
    assert app.count == 1
    assert sum("collapsed" in answer.cache_status for answer in answers) == 49
    assert {answer.body for answer in answers} == {b"content"}


async def test_nobody_queues_behind_what_cannot_be_shared() -> None:
    app = origin([("Cache-Control", "no-store")])
    edge = edge_of(app)
    release = asyncio.Event()
    app.before_answer = release.wait
    asking = [asyncio.ensure_future(ask(edge)) for _ in range(10)]
    await app.until_asked(1)
    assert app.count == 1
    release.set()
    await asyncio.gather(*asking)
    assert app.count == 10
    release.clear()
    asking = [asyncio.ensure_future(ask(edge)) for _ in range(10)]
    await app.until_asked(20)  # known to be unshared: all ask at once
    release.set()
    await asyncio.gather(*asking)


async def test_a_leader_that_is_cancelled_does_not_strand_those_who_wait() -> None:
    app = origin([FRESH])
    app.before_answer = asyncio.Event().wait
    edge = edge_of(app)
    leader = asyncio.ensure_future(ask(edge))
    await app.until_asked(1)
    follower = asyncio.ensure_future(ask(edge))
    await asyncio.sleep(0)
    app.before_answer = None
    leader.cancel()
    assert (await follower).body == b"content"
    await asyncio.wait({leader})
    assert leader.cancelled()


async def test_what_was_stored_is_there_before_its_first_client_hears_of_it() -> None:
    app = origin([FRESH])
    edge = edge_of(app)
    seen: list[bool] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            seen.append((await ask(edge, "/a")).is_hit)

    await edge(scope_of("/a"), _nothing_to_read, send)
    assert seen == [True]


async def test_a_write_is_seen_by_the_request_that_follows_its_answer() -> None:
    app = origin([FRESH])
    edge = edge_of(app)
    await ask(edge, "/a")
    hits: list[bool] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            hits.append((await ask(edge, "/a")).is_hit)

    await edge(scope_of("/a", "PUT"), _nothing_to_read, send)
    assert hits == [False]


async def test_a_failed_write_changes_nothing() -> None:
    app = Origin([(200, [FRESH], b"content"), (500, [], b"")])
    edge = edge_of(app)
    await ask(edge, "/a")
    await ask(edge, "/a", method="POST", body=b"x")
    assert (await ask(edge, "/a")).is_hit


async def test_an_answer_asked_for_before_a_purge_is_not_stored_after_it() -> None:
    app = origin([FRESH, ("Surrogate-Key", "sku-1")], body=b"old price")
    edge = edge_of(app)

    async def purge_meanwhile() -> None:
        await edge.purge(Purge(tags=["sku-1"]))

    app.before_answer = purge_meanwhile
    assert (await ask(edge)).body == b"old price"
    app.before_answer = None
    assert not (await ask(edge)).is_hit


async def test_tags_do_not_leave_the_edge() -> None:
    edge = edge_of(origin([FRESH, ("Surrogate-Key", "sku-1")]))
    assert "surrogate-key" not in (await ask(edge)).headers
    assert "surrogate-key" not in (await ask(edge)).headers


async def test_a_soft_purge_serves_stale_while_the_new_answer_is_fetched() -> None:
    app = Origin(
        [
            (200, [("Cache-Control", "max-age=60, stale-while-revalidate=60"), ("Surrogate-Key", "t")], b"old"),
            (200, [FRESH], b"new"),
        ]
    )
    edge = edge_of(app)
    await ask(edge)
    assert await edge.purge(Purge(tags=["t"], soft=True)) == 1
    assert (await ask(edge)).body == b"old"
    await edge.aclose()
    assert (await ask(edge)).body == b"new"


async def test_a_failing_origin_is_covered_by_stale_then_told() -> None:
    app, clock = origin([FRESH]), StandingClock()
    edge = edge_of(app, clock)
    await ask(edge)
    edge.origin = _failing(OriginFailure("the origin cannot be reached"))
    clock.pass_s(119)
    covered = await ask(edge)
    assert (covered.status, covered.body) == (200, b"content")
    clock.pass_s(1)
    assert (await ask(edge)).status == 502


async def test_an_answer_that_breaks_off_is_neither_stored_nor_passed_off_as_whole() -> None:
    async def breaking(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"max-age=60")]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise OriginFailure("the origin broke off")

    edge = Edge(breaking, clock=StandingClock())
    assert (await ask(edge)).status == 502
    short = edge_of(origin([FRESH, ("Content-Length", "99")]))
    await ask(short)
    assert not (await ask(short)).is_hit


async def test_an_applications_own_error_reaches_its_server() -> None:
    with pytest.raises(RuntimeError, match="broken"):
        await ask(Edge(_failing(RuntimeError("broken"))))


async def test_a_large_answer_flows_and_is_not_stored() -> None:
    app = origin([FRESH], body=b"x" * 1000)
    edge = edge_of(app, options=EdgeOptions(max_body_bytes=999))
    assert len((await ask(edge)).body) == 1000
    assert not (await ask(edge)).is_hit


async def test_an_unshared_answer_flows_piece_by_piece() -> None:
    sent: list[bytes] = []
    step = asyncio.Event()

    async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await step.wait()
        await send({"type": "http.response.body", "body": b"two"})

    async def send(message: Message) -> None:
        if message.get("body"):
            sent.append(message["body"])
            step.set()

    await Edge(streaming)(scope_of("/"), _nothing_to_read, send)
    assert sent == [b"one", b"two"]


async def test_a_head_is_answered_from_the_stored_get() -> None:
    app = origin([FRESH])
    edge = edge_of(app)
    await ask(edge)
    head = await ask(edge, method="HEAD")
    assert (head.status, head.body, head.is_hit) == (200, b"", True)


async def test_a_head_renews_what_is_stale() -> None:
    app, clock = origin([FRESH, ETAG]), StandingClock()
    edge = edge_of(app, clock)
    await ask(edge)
    clock.pass_s(60)
    await ask(edge, method="HEAD")
    assert (await ask(edge)).is_hit


async def test_ranges_and_conditions_are_answered_from_the_store() -> None:
    edge = edge_of(origin([FRESH, ETAG], body=b"0123456789"))
    await ask(edge)
    assert (await ask(edge, headers=[("Range", "bytes=2-3")])).body == b"23"
    assert (await ask(edge, headers=[("If-None-Match", '"v1"')])).status == 304


async def test_clients_that_validate_their_own_copies_fill_the_cache_once() -> None:
    app = origin([FRESH, ETAG])
    release = asyncio.Event()
    app.before_answer = release.wait
    edge = edge_of(app)
    asking = [asyncio.ensure_future(ask(edge, headers=[("If-None-Match", '"v1"')])) for _ in range(20)]
    await app.until_asked(1)
    release.set()
    answers = await asyncio.gather(*asking)
    assert {(answer.status, answer.body) for answer in answers} == {(304, b"")}
    assert app.count == 1
    assert "if-none-match" not in app.seen[0][2]
    assert (await ask(edge)).body == b"content"


async def test_conditions_reach_the_origin_where_nothing_will_be_stored() -> None:
    app = origin([("Cache-Control", "private, no-cache"), ETAG])
    edge = edge_of(app)
    condition = ("If-None-Match", '"v1"')
    await ask(edge, headers=[condition])  # not yet known
    await ask(edge, headers=[condition])
    await ask(edge_of(app), headers=[condition, ("Cookie", "a=b")])
    assert ["if-none-match" in seen[2] for seen in app.seen] == [False, True, True]


async def test_a_purge_over_http_needs_an_admitted_client_and_sense() -> None:
    app = origin([FRESH, ("Surrogate-Key", "t")])
    edge = Edge(app, purgers=["192.0.2.7"], clock=StandingClock())
    keys = [("X-Tiercel-Keys", "t")]
    await ask(edge)
    assert (await ask(edge, method="PURGE", headers=keys, client="198.51.100.1")).status == 403
    assert (await ask(edge, method="PURGE")).status == 400
    assert (await ask(edge)).is_hit
    assert (await ask(edge, method="PURGE", headers=keys)).body == b"purged 1\n"
    assert not (await ask(edge)).is_hit


async def test_an_application_that_says_nothing_is_an_error() -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        return

    with pytest.raises(RuntimeError, match="without a response"):
        await ask(Edge(silent))


async def test_only_if_cached() -> None:
    app = origin([FRESH])
    assert (await ask(edge_of(app), headers=[("Cache-Control", "only-if-cached")])).status == 504
    assert app.count == 0


async def test_what_is_no_http_goes_through() -> None:
    kinds: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        kinds.append(scope["type"])

    await Edge(application)({"type": "lifespan"}, _nothing_to_read, _nowhere)
    assert kinds == ["lifespan"]


async def test_fields_that_no_key_holds_do_not_reach_the_origin() -> None:
    app = origin([FRESH])
    await ask(
        edge_of(app),
        headers=[
            ("X-Forwarded-Host", "evil"),
            ("X-Original-URL", "/admin"),
            ("Connection", "X-Foo, Host, Content-Length"),
            ("X-Foo", "1"),
            ("TE", "trailers"),
            ("X-Bar", "1"),
        ],
    )
    assert {name for name, _ in app.seen[0][2]} == {"host", "x-bar"}


async def test_a_field_hidden_by_connection_selects_no_variant() -> None:
    app = origin([FRESH, ("Vary", "X-Foo")])
    edge = edge_of(app)
    await ask(edge, headers=[("X-Foo", "evil"), ("Connection", "X-Foo")])
    assert not (await ask(edge, headers=[("X-Foo", "evil")])).is_hit
    assert (await ask(edge)).is_hit


async def test_blocking_storages_are_used_as_they_are() -> None:
    storage = MemoryStorage()
    edge = Edge(origin([FRESH]), storage=storage, clock=StandingClock())
    await ask(edge)
    assert len(storage) == 1


def _failing(error: Exception) -> Callable[[Scope, Receive, Send], asyncio.Future[None]]:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    return application  # type: ignore[return-value]  # a coroutine function is what an edge calls


async def _nothing_to_read() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _nowhere(message: Message) -> None:
    await respond(_nowhere, 200, [], b"")
