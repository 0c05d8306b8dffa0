"""
A real Varnish with the VCL of the package: what is purged is fetched again, what is not stays.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from tests.rig.origin import Answer
from tests.rig.process import Unavailable, free_port
from tests.rig.varnish import VarnishServer
from tiercel._edges.varnish import VarnishSender
from tiercel._sync.edge import open_edge
from tiercel.cdn.faults import SendPartly, SendRefused
from tiercel.cdn.purge import PurgeItem, PurgeRequest
from tiercel.cdn.tagcodec import TagCodec

CODEC = TagCodec()


def vcl(purgers: str = '"127.0.0.1"') -> str:
    own = files("tiercel.cdn").joinpath("tiercel.vcl").read_text(encoding="utf-8").replace("vcl 4.1;", "", 1)
    backend = 'backend default { .host = "127.0.0.1"; .port = "{backend_port}"; }'
    tenant = 'sub vcl_recv { set req.http.X-Tiercel-Tenant = regsub(req.http.Host, "\\..*$", ""); }'
    return f"vcl 4.1;\n{backend}\nacl tiercel_purgers {{ {purgers}; }}\n{tenant}\n{own}"


def started(text: str) -> Iterator[VarnishServer]:
    server = VarnishServer(text)
    try:
        server.start()
    except Unavailable as reason:
        pytest.skip(f"varnish: {reason}")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def running() -> Iterator[VarnishServer]:
    yield from started(vcl())


@pytest.fixture
def varnish(running: VarnishServer) -> VarnishServer:
    running.flush()
    for number in (1, 2):
        running.origin.answers[f"/p/{number}"] = page(f"product:{number}")
    running.origin.answers["/list"] = page("product:1", "product:2")
    return running


def page(*tags: str, control: str = "max-age=300, stale-while-revalidate=60") -> Answer:
    keys = " ".join(CODEC.encode("acme", tag) for tag in tags)
    return Answer(
        b"page", headers={"Surrogate-Key": keys, "CDN-Cache-Control": control, "Cache-Control": "public, max-age=0"}
    )


def ask(server: VarnishServer, path: str, host: str = "acme.example", **headers: str) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": host, **headers})
        reply = connection.getresponse()
        reply.read()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}
    finally:
        connection.close()


def is_hit(server: VarnishServer, path: str, **options: str) -> bool:
    return "; hit" in ask(server, path, **options)[1]["cache-status"]


@pytest.fixture
def sender(varnish: VarnishServer) -> Iterator[VarnishSender]:
    made = VarnishSender([f"127.0.0.1:{varnish.port}"])
    made.ping()
    yield made
    made.close()


PURGES = [
    ("tag", CODEC.encode("acme", "product:1"), {"/p/1": False, "/p/2": True, "/list": False}),
    ("path", "/p/1", {"/p/1": False, "/p/2": True, "/list": True}),
    ("prefix", "/p/", {"/p/1": False, "/p/2": False, "/list": True}),
    ("host", "acme.example", {"/p/1": False, "/p/2": False, "/list": False}),
    ("host", "other.example", {"/p/1": True, "/p/2": True, "/list": True}),
    ("all", "", {"/p/1": False, "/p/2": False, "/list": False}),
]


@pytest.mark.parametrize("method", ["xkey", "bans"])
@pytest.mark.parametrize(("kind", "value", "left"), PURGES)
def test_a_purge_fells_what_it_names(
    varnish: VarnishServer, method: str, kind: str, value: str, left: dict[str, bool]
) -> None:
    for path in left:
        ask(varnish, path)
        assert is_hit(varnish, path)
    sender = VarnishSender([f"127.0.0.1:{varnish.port}"], method=method)
    sender.send("reference", [PurgeItem(kind, value)])  # type: ignore[arg-type]  # one of the kinds
    sender.close()
    assert {path: is_hit(varnish, path) for path in left} == left


def test_a_regular_expression_in_a_path_is_only_text(varnish: VarnishServer, sender: VarnishSender) -> None:
    ask(varnish, "/p/1")
    sender.send("reference", [PurgeItem("prefix", "/p.1"), PurgeItem("prefix", "/(p|q)/")])
    assert is_hit(varnish, "/p/1")


def test_a_soft_purge_serves_stale_once_while_it_fetches(varnish: VarnishServer, sender: VarnishSender) -> None:
    ask(varnish, "/p/1")
    before = len(varnish.origin.requests)
    sender.send("reference", [PurgeItem("path", "/p/1", soft=True)])
    assert is_hit(varnish, "/p/1")  # stale, and a fetch has begun
    for _ in range(200):
        if len(varnish.origin.requests) > before:
            break
        ask(varnish, "/list")
    assert len(varnish.origin.requests) > before


def test_tenants_do_not_share_an_url(varnish: VarnishServer) -> None:
    ask(varnish, "/p/1", host="acme.example")
    assert not is_hit(varnish, "/p/1", host="globex.example")


@pytest.mark.parametrize(
    "headers",
    [
        {"Set-Cookie": "session=1", "Cache-Control": "public, max-age=300"},
        {"CDN-Cache-Control": "no-store", "Cache-Control": "public, max-age=300"},
        {"CDN-Cache-Control": "private, max-age=300"},
    ],
)
def test_what_must_not_be_shared_is_not(varnish: VarnishServer, headers: dict[str, str]) -> None:
    varnish.origin.answers["/me"] = Answer(b"mine", headers=headers)
    for _ in range(3):
        assert not is_hit(varnish, "/me")


def test_keys_and_internal_headers_do_not_reach_clients(varnish: VarnishServer) -> None:
    _, headers = ask(varnish, "/p/1", xkey="forged")
    assert not {"xkey", "surrogate-key", "cdn-cache-control", "x-tiercel-url", "x-tiercel-host"} & set(headers)
    assert headers["cache-control"] == "public, max-age=0"


def test_every_node_answers_for_itself_and_only_the_others_are_asked_again(varnish: VarnishServer) -> None:
    dead = f"127.0.0.1:{free_port()}"
    sender = VarnishSender([f"127.0.0.1:{varnish.port}", dead], timeout_s=1)
    ask(varnish, "/p/1")
    with pytest.raises(SendPartly, match="1 of 2 nodes"):
        sender.send("reference", [PurgeItem("path", "/p/1")])
    assert {result.node: result.is_clean for result in sender.last} == {f"127.0.0.1:{varnish.port}": True, dead: False}
    assert not is_hit(varnish, "/p/1")  # the living node is clean at once
    with pytest.raises(SendPartly, match="1 of 1 nodes"):
        sender.send("reference", [PurgeItem("path", "/p/1")])
    assert is_hit(varnish, "/p/1")  # and was not asked again
    sender.close()


def test_who_is_not_on_the_list_may_not_purge() -> None:
    for server in started(vcl('"192.0.2.1"')):
        sender = VarnishSender([f"127.0.0.1:{server.port}"])
        with pytest.raises(SendRefused) as refused:
            sender.send("reference", [PurgeItem("all", "")])
        assert not refused.value.items_at_fault
        sender.close()


def test_a_purge_reaches_varnish_through_the_log(varnish: VarnishServer, tmp_path: Path) -> None:
    edge = open_edge(f"varnish://127.0.0.1:{varnish.port}?window=0.01", state_dir=tmp_path, start=False)
    ask(varnish, "/list")
    ticket = edge.purge(PurgeRequest(tags=["product:2"], tenant="acme"))
    assert edge.purger is not None
    for _ in range(500):
        if edge.status(ticket).state == "done":
            break
        edge.purger.step()
    assert edge.status(ticket).state == "done"
    assert not is_hit(varnish, "/list")
    edge.close()
