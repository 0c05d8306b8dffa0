"""An alert in the browser: raised by a dead letter, seen to fire, silenced, and cleared once the letter is gone."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.browser.visiting import visiting
from tests.service.serving import served
from tests.service.shop import add_users, opened_shop, park
from tiercel.observe.monitor import Monitor

pytestmark = pytest.mark.slow

RULE = """
[[alerts]]
name = "RefusedPrices"
metric = "dead_letters"
above = 0
for = "0s"
region = "price"
severity = "critical"
summary = "A price was refused by its store"
"""


async def cleared(monitor: Monitor) -> None:
    """Sample until the cache has measured its journal anew, which it does every few seconds."""
    ends = time.monotonic() + 20.0
    monitor.sample()
    while monitor.alerts():
        assert time.monotonic() < ends, "the alert stays"
        await asyncio.sleep(0.05)
        monitor.sample()


async def test_an_alert_is_raised_silenced_and_cleared(chromium: Path, tmp_path: Path) -> None:
    async with opened_shop(tmp_path, more=RULE, users=add_users(tmp_path)) as shop, served(shop) as address:
        monitor = shop.desk.alerts.monitor
        monitor.sample()
        async with visiting(chromium, address, "admin") as (page, told):
            await page.goto(address + "/alerts")
            row = page.get_by_role("row", name="RefusedPrices")
            await row.get_by_text("inactive").wait_for()

            await park(shop, "sku-1")
            monitor.sample()
            await row.get_by_text("firing").wait_for()

            await page.get_by_label("Rule (* for any)").fill("RefusedPrices")
            await page.get_by_label("Why").fill("the supplier was told")
            await page.get_by_role("button", name="Silence").click()
            await page.get_by_text("the supplier was told (admin)").wait_for()
            monitor.sample()
            await row.get_by_text("silenced").wait_for()

            await page.goto(address + "/journals")
            await page.get_by_label("Choose sku-1").check()
            await page.get_by_role("button", name="Throw away").click()
            await page.get_by_role("heading", name="Dead letters of price").wait_for(state="detached")
            await cleared(monitor)
            await page.goto(address + "/alerts")
            await row.get_by_text("inactive").wait_for()
            assert told == []
