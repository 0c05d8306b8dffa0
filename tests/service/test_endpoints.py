"""What endpoints answer: figures, keys, invalidations, dead letters, silences, the audit log, and nothing secret."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.service.shop import PASSWORD, SECRET, Shop, park
from tiercel.observe.report import Report
from tiercel.service.app import TABLE

HOSTILE = "<script>alert(1)</script>\"&'{{7*7}}"


async def test_metrics_and_health_need_no_sign_in_and_tell_no_names(shop: Shop) -> None:
    async with shop.client() as client:
        metrics = await client.get("/metrics")
        assert {family.name for family in text_string_to_metric_families(metrics.text)}
        assert (await client.get("/health/live")).json() == {"ok": True}
        assert (await client.get("/health/ready")).json() == {"ok": True}
        assert (await client.get("/api/health")).status_code == 401


async def test_health_fails_where_the_cache_is_closed(shop: Shop) -> None:
    await shop.cache.aclose()
    async with shop.client("viewer") as client:
        assert (await client.get("/health/live")).status_code == 503
        assert (await client.get("/health/ready")).status_code == 503
        assert (await client.get("/api/report")).status_code == 503


async def test_the_report_is_what_the_command_line_reads(open_shop: Shop) -> None:
    await open_shop.cache.tenant("acme").region("page").set("home", "welcome")
    await open_shop.cache.tenant("acme").region("page").get("home")
    async with open_shop.client() as client:
        report = Report.from_json((await client.get("/api/report")).content)
    assert report.overall.requests == 1


async def test_every_answer_carries_the_policy_and_no_page_asks_the_network(shop: Shop) -> None:
    async with shop.client("admin") as client:
        for path in ("/", "/sign-in", "/api/report", "/nowhere", "/static/tiercel.js", "/static/tiercel.css"):
            answer = await client.get(path)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "//" not in answer.text.replace("// ", "").replace('"http://www.w3.org', '"'), path


async def test_hostile_names_are_shown_as_text(shop: Shop) -> None:
    async with shop.client("admin") as client:
        asked = {"region": "page", "tenant": "acme", "key": HOSTILE}
        await shop.cache.tenant("acme").region("page").set(HOSTILE, {"note": HOSTILE})
        inspected = await client.get("/inspector", params=asked)
        token = client.headers["X-CSRF-Token"]
        valued = await client.post("/inspector", data={**asked, "csrf": token})
        fall = {"kind": "key", "tenant": "acme", "name": "page", "key": HOSTILE, "csrf": token}
        counted = await client.post("/invalidate", data={**fall, "act": "no"})
        receipt = await client.post("/invalidate", data={**fall, "act": "yes"}, follow_redirects=True)
        refused = await client.get("/inspector", params={**asked, "tenant": HOSTILE})
        audit = await client.get("/audit")
    assert refused.status_code == 400
    for page in (inspected, valued, counted, receipt, refused, audit):
        assert "<script>alert" not in page.text
        assert "49" not in page.text.split("<main")[1].split("alert(1)")[1][:60]
    assert "&lt;script&gt;alert(1)" in valued.text


async def test_values_are_for_operators_and_are_cut(shop: Shop) -> None:
    await shop.cache.tenant("acme").region("page").set("home", "x" * 10_000)
    name = {"region": "page", "tenant": "acme", "key": "home"}
    async with shop.client("viewer") as client:
        known = await client.get("/api/keys", params=name)
        assert known.json()["verdict"].startswith("hit")
        assert "xxxx" not in known.text
        assert "Show the value" not in (await client.get("/inspector", params=name)).text
        assert (await client.post("/api/keys/value", json=name)).status_code == 403
    async with shop.client("operator") as client:
        value = (await client.post("/api/keys/value", json=name)).json()
    assert value["is_cut"]
    assert len(value["text"]) == 4096


async def test_an_invalidation_is_counted_first_and_then_done(shop: Shop) -> None:
    page = shop.cache.tenant("acme").region("page")
    await page.set("product:7", "seven")
    await page.set("list", "all", tags=["product:7"])
    fall = {"kind": "entity", "tenant": "acme", "name": "product", "key": "7"}
    async with shop.client("operator") as client:
        counted = (await client.post("/api/invalidations", json=fall)).json()
        assert counted["would_fall"] == {"page": 1, "product:7": 1}
        assert await page.get("product:7") == "seven", "a dry run changes nothing"
        receipt = (await client.post("/api/invalidations", json={**fall, "dry_run": False})).json()
        assert await page.get("product:7", None) is None
        assert await page.get("list", None) is None
        assert set(receipt["clean_after_s"]) == {"redis", "local"}
        assert receipt["waiting"] == []
        again = (await client.get(f"/api/invalidations/{receipt['id']}")).json()
        assert again["asked"]["key"] == "7"
        assert (await client.get("/api/invalidations")).json()[0]["id"] == receipt["id"]


@pytest.mark.parametrize(
    ("fall", "counts"),
    [
        ({"kind": "tags", "tags": ["red"]}, {"red": 1}),
        ({"kind": "region", "name": "page"}, {"page": 2}),
        ({"kind": "tenant"}, {}),
        ({"kind": "key", "name": "page", "key": "a"}, {"page": 1}),
    ],
)
async def test_each_kind_falls(shop: Shop, fall: dict[str, Any], counts: dict[str, int]) -> None:
    page = shop.cache.tenant("acme").region("page")
    await page.set("a", 1, tags=["red"])
    await page.set("b", 2)
    async with shop.client("operator") as client:
        asked = {**fall, "tenant": "acme"}
        assert (await client.post("/api/invalidations", json=asked)).json()["would_fall"] == counts
        assert (await client.post("/api/invalidations", json={**asked, "dry_run": False})).status_code == 200
    assert await page.get("a", None) is None
    assert (await page.get("b", None) is None) == (fall["kind"] in ("region", "tenant"))


@pytest.mark.parametrize(
    "body",
    [
        "{", "[]", '{"kind": "key"}', '{"kind": "all", "tenant": "acme"}', '{"kind": "tags", "tenant": "acme"}',
        '{"kind": "key", "tenant": "a b", "name": "page", "key": "x"}', '{"kind": "tenant", "tenant": "x", "more": 1}',
        '{"kind": "key", "tenant": "acme", "name": "nowhere", "key": "x"}', '"\\ud800"',
    ],
)  # fmt: skip
async def test_a_wrong_body_is_the_senders_mistake(shop: Shop, body: str) -> None:
    async with shop.client("operator") as client:
        answer = await client.post("/api/invalidations", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400
        form = await client.post("/api/invalidations", data={"kind": "tenant"})
        assert form.status_code == 415
        large = await client.post(
            "/api/invalidations", content=b" " * 300_000, headers={"Content-Type": "application/json"}
        )
        assert large.status_code == 413


async def test_a_dead_letter_is_shown_without_its_value_and_retried(shop: Shop) -> None:
    await park(shop, "sku-1", cents=-987654)
    async with shop.client("operator") as client:
        journals = (await client.get("/api/journals")).json()
        assert [(one["region"], one["dead"]) for one in journals] == [("price", 1)]
        letters = await client.get("/api/journals/price/dead-letters")
        assert "987654" not in letters.text
        with sqlite3.connect(shop.home / "shop.db") as database:
            database.execute("DROP TABLE prices")
            database.execute("CREATE TABLE prices (sku TEXT PRIMARY KEY, cents INTEGER NOT NULL)")
        database.close()
        ids = [letter["id"] for letter in letters.json()]
        assert (await client.post("/api/journals/price/retry", json={"ids": ids})).json() == {"count": 1}
        assert (await client.get("/api/journals/price/dead-letters")).json() == []
    assert await shop.cache.drain(10.0) == 0


async def test_a_dead_letter_is_thrown_away_by_an_admin(shop: Shop) -> None:
    await park(shop, "sku-1")
    async with shop.client("admin") as client:
        page = await client.get("/journals")
        assert "sku-1" in page.text
        ids = [letter["id"] for letter in (await client.get("/api/journals/price/dead-letters")).json()]
        form = {"ids": ids, "csrf": client.headers["X-CSRF-Token"]}
        assert (await client.post("/journals/price/drop", data=form)).status_code == 303
        assert (await client.get("/api/journals/price/dead-letters")).json() == []


async def test_a_silence_is_taken_up_at_the_next_sample(shop: Shop) -> None:
    async with shop.client("operator") as client:
        asked = {"rule": "TiercelHitRateLow", "duration_s": 60, "reason": "deploying"}
        silence = (await client.post("/api/alerts/silences", json=asked)).json()
        assert silence["reason"] == "deploying (operator)"
        shop.desk.alerts.monitor.sample()
        assert (await client.get("/api/alerts")).json()["silences"] == [silence]
        wrong = await client.post("/api/alerts/silences", json={"duration_s": 1e9})
        assert wrong.status_code == 400


async def test_the_audit_log_tells_who_asked_what_and_how_it_ended(shop: Shop) -> None:
    fall = {"kind": "tenant", "tenant": "acme", "dry_run": False}
    async with shop.client("operator") as client:
        await client.post("/api/invalidations", json=fall)
        await client.post("/api/journals/price/drop", json={"ids": ["1"]})
    async with shop.client() as client:
        await client.post("/sign-in", data={"user": "admin", "password": PASSWORD})
        records = (await client.get("/api/audit")).json()
    told = [(one["user"], one["action"], one["outcome"]) for one in reversed(records)]
    assert told == [
        ("operator", "POST /api/invalidations", "asked"),
        ("operator", "POST /api/invalidations", "done"),
        ("operator", "POST /api/journals/price/drop", "this takes the role admin; operator is operator"),
        ("admin", "POST /sign-in", "done"),
    ]
    assert json.loads(records[-1]["target"])["tenant"] == "acme"


async def test_nothing_is_done_that_cannot_be_written_down(shop: Shop) -> None:
    page = shop.cache.tenant("acme").region("page")
    await page.set("home", "welcome")
    (shop.home / "state" / "audit.jsonl").mkdir()
    async with shop.client("operator") as client:
        fall = {"kind": "tenant", "tenant": "acme", "dry_run": False}
        assert (await client.post("/api/invalidations", json=fall)).status_code == 503
    assert await page.get("home") == "welcome"


async def test_no_answer_and_no_log_holds_a_secret(shop: Shop) -> None:
    secrets = [PASSWORD, SECRET, "$argon2", "shop.db", (shop.home / "state" / "service.key").read_bytes().hex()]
    texts = []
    async with shop.client("admin") as client:
        for one in TABLE:
            if one.method == "GET" and "{" not in one.path:
                params = {"region": "page", "tenant": "acme", "key": "home"} if one.path == "/api/keys" else None
                texts.append((await client.get(one.path, params=params)).text)
        await client.post("/sign-in", data={"user": "admin", "password": PASSWORD})
    texts.append((shop.home / "state" / "audit.jsonl").read_text(encoding="utf-8"))
    for secret in secrets:
        assert not [text for text in texts if secret in text], secret


async def test_the_openapi_document_names_every_endpoint_and_type(shop: Shop) -> None:
    async with shop.client() as client:
        document = (await client.get("/openapi.json")).json()
    named = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    assert named == {(one.method, one.path) for one in TABLE if not one.is_page}
    text = json.dumps(document)
    references = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert references == set(document["components"]["schemas"])
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(set(names)) == len(names)


async def test_the_timeline_and_the_charts_show_the_last_hour(shop: Shop) -> None:
    monitor = shop.desk.alerts.monitor
    first = shop.cache.snapshot()
    await shop.cache.tenant("acme").region("page").get("nothing", None)
    later = shop.cache.snapshot()
    first.at_s, later.at_s = later.at_s - 20.0, later.at_s - 1.0
    monitor.timeline.add(first)
    monitor.timeline.add(later)
    async with shop.client("viewer") as client:
        points = (await client.get("/api/timeline", params={"span_s": 60})).json()
        page = (await client.get("/")).text
        assert (await client.get("/api/timeline", params={"span_s": "soon"})).status_code == 400
    assert len(points) == 1
    assert page.count('class="line ') == 6
