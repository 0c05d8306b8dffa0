"""axe looks at every page, with something on it, in both colour schemes: nothing that keeps people out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe

from tests.browser.visiting import visiting
from tests.service.serving import served
from tests.service.shop import Shop, add_users, opened_shop, park
from tiercel.service.app import TABLE

pytestmark = pytest.mark.slow

PAGES = [one.path for one in TABLE if one.is_page and one.method == "GET" and "{" not in one.path]


async def fill_pages(shop: Shop) -> list[str]:
    """Give the pages something to show, and return the addresses of them all."""
    page = shop.cache.tenant("acme").region("page")
    await page.set("home", "welcome")
    assert await page.get("home") == "welcome"
    await park(shop, "sku-1")
    receipt = await shop.cache.tenant("acme").invalidate("product", "7")
    await receipt.wait("local", timeout_s=10.0)
    return [*PAGES, "/inspector?region=page&tenant=acme&key=home", "/regions/page"]


def serious(result: dict[str, Any]) -> list[str]:
    """Return what axe counts as serious or critical."""
    return [
        f"{found['id']}: {node['html'][:200]}"
        for found in result["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_page_keeps_people_out(chromium: Path, tmp_path: Path, scheme: str) -> None:
    async with opened_shop(tmp_path, users=add_users(tmp_path)) as shop, served(shop) as address:
        paths = await fill_pages(shop)
        async with visiting(chromium, address, "admin", color_scheme=scheme) as (page, _):
            for path in paths:
                await page.goto(address + path)
                result = (await Axe().run(page)).response
                assert len(result["passes"]) > 5, path
                assert serious(result) == [], path


async def test_axe_would_see_what_keeps_people_out(chromium: Path, tmp_path: Path) -> None:
    async with (
        opened_shop(tmp_path, users=add_users(tmp_path)) as shop,
        served(shop) as address,
        visiting(chromium, address, "admin") as (page, _),
    ):
        await page.evaluate("document.querySelector('nav').innerHTML = '<a href=\"/x\"></a><img src=\"/icon\">'")
        found = serious((await Axe().run(page)).response)
    assert {one.split(":")[0] for one in found} >= {"link-name", "image-alt"}
