"""
Draw the dashboard's pictures in ``docs/explain/images`` anew: the real service over the tests' shop, in a real browser.

Run: ``python -m tools.picture_dashboard``
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from playwright.async_api import Page

from tests.browser.visiting import visiting
from tests.rig.chromium import chromium_binary
from tests.service.serving import served
from tests.service.shop import Shop, add_users, opened_shop, park

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "explain" / "images"
STEPS, STEP_S = 350, 10.0
LOOK: dict[str, Any] = {"viewport": {"width": 1180, "height": 760}, "color_scheme": "light"}


async def trade(shop: Shop) -> None:
    """Trade for an hour of a clock that is set back, so that every figure and chart has something to show."""
    chance = random.Random(7)
    began_s = time.time() - (STEPS - 3) * STEP_S
    for step in range(STEPS):
        for tenant, share in (("acme", 12), ("globex", 5), ("initech", 2)):
            page = shop.cache.tenant(tenant).region("page")
            for _ in range(share + chance.randrange(4)):
                key = f"product:{min(int(chance.paretovariate(0.9)), 400)}"
                await page.get_or_load(key, _rendered)
        figures = shop.desk.snapshot()
        shop.desk.alerts.monitor.timeline.add(replace(figures, at_s=began_s + step * STEP_S))
    await shop.cache.tenant("acme").region("price").write("sku-7", {"sku": "sku-7", "cents": 990})
    await park(shop, "sku-1")


async def _rendered() -> dict[str, str]:
    await asyncio.sleep(0.001)
    return {"title": "A product"}


async def shoot(page: Page, name: str) -> None:
    """Keep what *page* shows as a picture."""
    await page.screenshot(path=IMAGES / f"dashboard-{name}.png")


async def draw() -> None:
    """Draw all pictures."""
    with tempfile.TemporaryDirectory() as home:
        async with opened_shop(Path(home), users=add_users(Path(home))) as shop:
            await trade(shop)
            async with served(shop) as address:
                await visit(address)


async def visit(address: str) -> None:
    """Look at the pages, and keep what is seen."""
    async with visiting(chromium_binary(), address, "admin", **LOOK) as (page, _):
        await page.goto(address + "/")
        await shoot(page, "overview")
        await page.goto(f"{address}/inspector?region=page&tenant=acme&key=product:7")
        await shoot(page, "inspector")
        await page.goto(address + "/journals")
        await shoot(page, "journals")
        await page.goto(address + "/invalidate")
        await page.get_by_label("Tenant").fill("acme")
        await page.get_by_label("Entity or region").fill("product")
        await page.get_by_label("Id or key").fill("7")
        await page.get_by_role("button", name="What would fall?").click()
        await page.get_by_role("button", name="Invalidate now").click()
        await page.get_by_text("Every tier concerned is clean.").wait_for()
        await shoot(page, "invalidation")
        await page.emulate_media(color_scheme="dark")
        await page.goto(address + "/regions")
        await shoot(page, "regions-dark")


if __name__ == "__main__":
    asyncio.run(draw())
