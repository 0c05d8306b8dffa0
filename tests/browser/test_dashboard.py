"""The dashboard in a real browser: every page, sign-in, an invalidation seen to clear, a dead letter retried."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright

from tests.rig.chromium import ARGUMENTS
from tests.service.serving import served
from tests.service.shop import PASSWORD, Shop, add_users, opened_shop, park
from tiercel.service.app import TABLE

pytestmark = pytest.mark.slow

PAGES = [one.path for one in TABLE if one.is_page and one.method == "GET" and "{" not in one.path]


async def test_an_operator_finds_everything(chromium: Path, tmp_path: Path) -> None:
    async with (
        opened_shop(tmp_path, users=add_users(tmp_path)) as shop,
        served(shop) as address,
        async_playwright() as driver,
    ):
        browser = await driver.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        page = await browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
        page.set_default_timeout(20_000)
        told: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: told.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))

        await page.goto(address)
        await page.get_by_label("Name").fill("admin")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_role("heading", name="Overview").wait_for()

        await _sees_every_page(page, address)
        await _sees_an_invalidation_clear(page, address, shop)
        await _retries_a_dead_letter(page, address, shop)
        await _sees_a_live_change_in_the_application(page, address, shop)
        await _follows_figures_and_chooses_colours(page, address, shop)
        await page.get_by_role("button", name="Sign out").click()
        await page.get_by_role("heading", name="Sign in").wait_for()
        await browser.close()
    assert told == []
    assert [url for url in asked if not url.startswith(address)] == []


async def _sees_every_page(page: Page, address: str) -> None:
    for path in PAGES:
        if path == "/sign-in":
            continue
        answer = await page.goto(address + path)
        assert answer is not None
        assert answer.status == 200, path
        title = await page.title()
        assert await page.get_by_role("heading", level=1).inner_text() == title.removesuffix(" – Tiercel")
        problems = await page.evaluate(READABLE)
        assert problems == [], path


async def _sees_an_invalidation_clear(page: Page, address: str, shop: Shop) -> None:
    """Count first, then make it fall, and see each tier clean; the key inspector agrees before and after."""
    await shop.cache.tenant("acme").region("page").set("product:7", "seven")
    inspector = f"{address}/inspector?region=page&tenant=acme&key=product:7"
    await page.goto(inspector)
    await page.get_by_text("hit in").wait_for()
    await page.goto(address + "/invalidate")
    await page.get_by_label("Tenant").fill("acme")
    await page.get_by_label("Entity or region").fill("product")
    await page.get_by_label("Id or key").fill("7")
    await page.get_by_role("button", name="What would fall?").click()
    await page.get_by_text("live in page").wait_for()
    assert await shop.cache.tenant("acme").region("page").get("product:7") == "seven"
    await page.get_by_role("button", name="Invalidate now").click()
    await page.get_by_text("Every tier concerned is clean.").wait_for()
    assert "redis clean after" in await page.get_by_role("list", name="When each tier was clean").inner_text()
    await page.goto(inspector)
    await page.get_by_text("miss: it was invalidated").wait_for()


async def _retries_a_dead_letter(page: Page, address: str, shop: Shop) -> None:
    """See a write that its store refused, mend the store, try again from the page, and find the row there."""
    await park(shop, "sku-1")
    await page.goto(address + "/journals")
    await page.get_by_label("Choose sku-1").check()
    with sqlite3.connect(shop.home / "shop.db") as database:
        database.execute("DROP TABLE prices")
        database.execute("CREATE TABLE prices (sku TEXT PRIMARY KEY, cents INTEGER NOT NULL)")
    database.close()
    await page.get_by_role("button", name="Try again").click()
    await page.get_by_role("heading", name="Dead letters of price").wait_for(state="detached")
    assert await shop.cache.drain(10.0) == 0
    assert await shop.cache.tenant("acme").region("price").read("sku-1") == {"sku": "sku-1", "cents": -1}


async def _sees_a_live_change_in_the_application(page: Page, address: str, shop: Shop) -> None:
    """Shorten a ttl on the region's page, see the application make entries by it, then undo it from the history."""
    pages = shop.cache.tenant("acme").region("page")
    await page.goto(address + "/regions")
    await page.get_by_role("link", name="page", exact=True).click()
    await page.get_by_label("Ttl", exact=True).fill("7s")
    await page.get_by_label("Why").fill("too stale")
    await page.get_by_role("button", name="Change it").click()
    await page.get_by_text("admin: page.ttl_s: default → 7 (too stale)").wait_for()
    assert await page.evaluate(READABLE) == []
    await pages.set("product:8", "eight")
    assert 0 < (await pages.ttl("product:8") or 0) <= 7.0
    page.on("dialog", lambda dialog: asyncio.ensure_future(dialog.accept()))
    await page.goto(address + "/policy")
    await page.get_by_label("Why").fill("drill")
    await page.get_by_label("Layer").select_option("local")
    await page.get_by_role("button", name="Switch off").click()
    await page.get_by_text("local off for everything").first.wait_for()
    assert pages.get_local("product:8", None) is None
    await page.get_by_role("button", name="Switch on").click()
    await page.get_by_role("button", name="Back to the matrix file").click()
    await page.get_by_text("Everything is as the matrix file says.").wait_for()
    assert await page.evaluate(READABLE) == []
    await pages.set("product:8", "eight")
    assert (await pages.ttl("product:8") or 0) > 7.0


async def _follows_figures_and_chooses_colours(page: Page, address: str, shop: Shop) -> None:
    """See a new figure without a reload, and the colours change and stay."""
    await page.goto(address + "/")
    reads = shop.cache.report().overall.requests
    for _ in range(1234):
        await shop.cache.tenant("acme").region("page").get("nothing", None)
    await page.get_by_text(f"{reads + 1234:,}", exact=True).wait_for()
    await page.get_by_role("button", name="Dark", pressed=True).click()
    await page.reload()
    await page.get_by_role("button", name="Dark", pressed=False).wait_for()
    ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(246, 247, 248)"


READABLE = """() => {
  const problems = [];
  if (document.documentElement.scrollWidth > innerWidth) problems.push("wider than the phone");
  for (const field of document.querySelectorAll("input:not([type=hidden]), select"))
    if (!field.labels.length && !field.ariaLabel) problems.push("no label: " + field.name);
  for (const cell of document.querySelectorAll("thead th")) if (!cell.scope) problems.push("no scope");
  for (const drawing of document.querySelectorAll("svg"))
    for (const id of drawing.getAttribute("aria-labelledby").split(" "))
      if (!document.getElementById(id)) problems.push("no words for a chart");
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  if (new Set(ids).size !== ids.length) problems.push("an id twice");
  if (document.querySelectorAll("main").length !== 1) problems.push("not one main");
  return problems;
}"""
