"""
Deception and poisoning: whatever a victim or an attacker sends, the next anonymous request gets 0 canary bytes.

Deception: a victim is lured to a URL that the cache takes for something public and the origin for the victim's page.
Poisoning: an attacker's request changes an answer that others then get. The origin here does all that real ones do
wrong: it cuts paths at every delimiter, resolves dots in every encoding, labels by extension, and echoes what it reads.
The naive cache beside ours shows that each half of the matrix can fail.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from urllib.parse import unquote

import pytest

from tests.http.asking import StandingClock, ask, respond
from tests.http.site import Seen, Site, echo
from tiercel.http.edge import Edge
from tiercel.http.exchange import UNTRUSTED_FIELDS, Message, Receive, Scope, Send
from tiercel.http.policy import RoutePolicy
from tiercel.http.rules.headers import Headers

CANARY = b"canary-7f3a"
DELIMITERS = (
    *("", "/", ";", "?", "!", "$", "&", "'", "~", ":", "@", "%"),
    *("%3b", "%00", "%0a", "%0d%0a", "%09", "%20", "%23", "%3f"),
)
TAILS = ("a.css", "x.js", "logo.png", "favicon.ico", "robots.txt", "index.html")
DETOURS = (
    "/static/..%2faccount",
    "/static/%2e%2e/account",
    "/static/%2e%2e%2faccount",
    "/static/..%5caccount",
    "/static/..;/account",
    "/static/x/../../account",
    "/static/%252e%252e%252faccount",
    "/./account",
    "//account",
    "/account%2f..%2fstatic%2fa.css",
    "/account/%2e%2e/static/a.css",
    "/%61ccount",
    "/ACCOUNT",
    "/p/..%2faccount",
    "/p/%2e%2e/account",
    "/p/../account",
    "/p/1;/../account",
)
LABELS: tuple[list[tuple[str, str]], ...] = (
    [],
    [("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")],
    [("Cache-Control", "max-age=600")],
    [("ETag", '"v1"')],
    [("Expires", "Fri, 01 Jan 2038 01:01:01 GMT")],
)
CREDENTIALS = (("Cookie", "session=victim"), ("Authorization", "Bearer victim"))


def lures() -> list[str]:
    """Return every URL that some server takes for the account page and another for a file."""
    made = [f"/account{delimiter}{tail}" for delimiter, tail in itertools.product(DELIMITERS, TAILS)]
    return [target for target in (*made, *DETOURS) if not re.search(r"[\x00-\x20]", target)]


def is_account(raw: str) -> bool:
    """Say whether the origin takes *raw* for the account page: it decodes twice, cuts and resolves."""
    path = unquote(unquote(raw)).replace("\\", "/").lower()
    path = re.split(r"[;?#\x00\n\r\t !$&'~:@%]", path)[0] if "/../" not in path and "..;" not in path else path
    parts: list[str] = []
    for part in path.replace("..;", "..").split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return bool(parts) and parts[0].startswith("account")


class LooseOrigin:
    """Gives the victim's page to whoever shows the victim's credentials; labels all alike."""

    def __init__(self, label: Sequence[tuple[str, str]]) -> None:
        self._label = label

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers.from_raw(scope["headers"])
        knows = any("victim" in (headers.get(name.lower()) or "") for name, _ in CREDENTIALS)
        query = scope["query_string"].decode("latin-1")
        raw = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
        body = CANARY if knows and is_account(raw) else b"please sign in"
        await respond(send, 200, self._label, body)


class NaiveCache:
    """What many set-ups amount to: keyed by URL, keeps whatever has no ``no-store``."""

    def __init__(self, app: Callable[[Scope, Receive, Send], object]) -> None:
        self._app = app
        self._kept: dict[str, tuple[Message, list[Message]]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = scope["raw_path"].decode("latin-1")
        if key not in self._kept:
            start: Message = {}
            rest: list[Message] = []

            async def take(message: Message) -> None:
                if message["type"] == "http.response.start":
                    start.update(message)
                else:
                    rest.append(message)

            await self._app(scope, receive, take)  # type: ignore[misc]
            self._kept[key] = (start, rest)
        start, rest = self._kept[key]
        await send(start)
        for message in rest:
            await send(message)


async def deceived_bytes(make: Callable[[LooseOrigin], Edge | NaiveCache]) -> int:
    """Return how many canary bytes anonymous clients got, over the whole matrix."""
    leaked = 0
    for label, credential, target in itertools.product(LABELS, CREDENTIALS, lures()):
        cache = make(LooseOrigin(label))
        await ask(cache, target, headers=[credential])
        anonymous = await ask(cache, target)
        leaked += len(CANARY) * anonymous.body.count(CANARY)
    return leaked


async def test_deception_at_the_edge() -> None:
    assert await deceived_bytes(lambda app: Edge(app, clock=StandingClock())) == 0


async def test_the_matrix_deceives_a_naive_cache() -> None:
    assert await deceived_bytes(NaiveCache) > 10_000


async def test_the_victims_page_is_not_left_for_anyone_by_a_hidden_credential() -> None:
    for label in LABELS:
        edge = Edge(LooseOrigin(label), clock=StandingClock())
        for name, value in CREDENTIALS:
            await ask(edge, "/account/a.css", headers=[(name, value), ("Connection", name)])
        assert CANARY not in (await ask(edge, "/account/a.css")).body


@pytest.mark.parametrize("colour", ["asgi", "wsgi"])
def test_deception_behind_the_middleware(colour: str) -> None:
    def handler(seen: Seen) -> tuple[int, list[tuple[str, str]], bytes]:
        knows = any("victim" in (seen.headers.get(name.lower()) or "") for name, _ in CREDENTIALS)
        return 200, [("Cache-Control", "max-age=600")], CANARY if knows else b"please sign in"

    routes = [RoutePolicy(path=path, ttl_s=60) for path in ("/static/*", "/p/*", "/account*", "/*")]
    site = Site(colour, handler, routes)
    for credential, target in itertools.product(CREDENTIALS, lures()):
        mine = site.ask(target, headers=[credential])
        if mine.status == 200 and CANARY in mine.body:
            assert mine.headers.lines("cache-control") == ["private, no-store"], target
        assert CANARY not in site.ask(target).body, target


ATTACKS: list[list[tuple[str, str]]] = [
    *([(name, CANARY.decode())] for name in sorted(UNTRUSTED_FIELDS)),
    [("X-Foo", CANARY.decode()), ("Connection", "X-Foo")],
    [("Authorization", CANARY.decode())],
    [("Cookie", f"lang={CANARY.decode()}")],
    [("If-Match", f'"{CANARY.decode()}"')],
    [("TE", CANARY.decode())],
    [("Cache-Control", f"no-store, {CANARY.decode()}")],
]
_READ_BY_SOME = ("User-Agent", "Accept", "Origin", "Referer", "X-Custom", "X-Forwarded-For", "Content-Type", "Range")
NOISE: list[list[tuple[str, str]]] = [[(name, CANARY.decode())] for name in _READ_BY_SOME]


class EchoOrigin:
    """Echoes every field and the content of a request into a page for all."""

    def __init__(self, label: str) -> None:
        self._label = label

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        content = (await receive()).get("body", b"")
        fields = b"\n".join(name + b": " + value for name, value in scope["headers"])
        await respond(send, 200, [("Cache-Control", self._label)], fields + content)


async def poisoned_bytes(make: Callable[[EchoOrigin], Edge | NaiveCache]) -> int:
    leaked = 0
    for headers in ATTACKS:
        cache = make(EchoOrigin("max-age=600"))
        await ask(cache, "/", headers=headers)
        leaked += (await ask(cache, "/")).body.count(CANARY)
    cache = make(EchoOrigin("public, max-age=600"))
    await ask(cache, "/", body=CANARY)
    await ask(cache, "/", method="HEAD", headers=[("X-Custom", CANARY.decode())])
    return leaked + (await ask(cache, "/")).body.count(CANARY)


async def test_poisoning_at_the_edge() -> None:
    assert await poisoned_bytes(lambda app: Edge(app, clock=StandingClock())) == 0


async def test_the_attacks_poison_a_naive_cache() -> None:
    assert await poisoned_bytes(NaiveCache) > len(UNTRUSTED_FIELDS)


@pytest.mark.parametrize("colour", ["asgi", "wsgi"])
@pytest.mark.parametrize("headers", [*ATTACKS, *NOISE], ids=lambda headers: headers[0][0])
def test_poisoning_behind_the_middleware(colour: str, headers: list[tuple[str, str]]) -> None:
    site = Site(colour, echo, [RoutePolicy(path="/*", ttl_s=60, query=("page",))])
    site.ask(f"/p?page=1&utm={CANARY.decode()}&page=1", headers=headers)
    anonymous = site.ask("/p?page=1&page=1")
    assert CANARY not in anonymous.body
    assert anonymous.headers.get("cdn-cache-control")


async def test_a_part_does_not_stand_in_for_the_whole() -> None:
    async def parts(scope: Scope, receive: Receive, send: Send) -> None:
        if any(name == b"range" for name, _ in scope["headers"]):
            lines = [("Cache-Control", "max-age=60"), ("Content-Range", "bytes 0-1/4")]
            await respond(send, 206, lines, b"ab")
        else:
            await respond(send, 200, [("Cache-Control", "max-age=60")], b"abcd")

    edge = Edge(parts, clock=StandingClock())
    await ask(edge, headers=[("Range", "bytes=0-1")])
    assert (await ask(edge)).body == b"abcd"
