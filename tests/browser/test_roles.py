"""What each role finds in the browser: pages in the navigation, buttons on them, refusals behind typed addresses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.visiting import visiting
from tests.service.serving import served
from tests.service.shop import add_users, opened_shop, park

pytestmark = pytest.mark.slow

REFUSED = {"viewer": ["/invalidate", "/audit"], "operator": ["/audit"], "admin": []}


@pytest.mark.parametrize("role", REFUSED)
async def test_a_role_finds_what_it_may_do(chromium: Path, tmp_path: Path, role: str) -> None:
    async with opened_shop(tmp_path, users=add_users(tmp_path)) as shop, served(shop) as address:
        await park(shop, "sku-1")
        async with visiting(chromium, address, role) as (page, told):
            links = await page.get_by_role("navigation").get_by_role("link").all_inner_texts()
            assert ("Invalidate" in links, "Audit log" in links) == (role != "viewer", role == "admin")
            await page.goto(address + "/journals")
            await page.get_by_text("sku-1").first.wait_for()
            assert await page.get_by_role("button", name="Try again").count() == (role != "viewer")
            assert told == []
            for path in REFUSED[role]:
                answer = await page.goto(address + path)
                assert answer is not None
                assert answer.status == 403
                assert f"{role} is {role}" in await page.get_by_role("main").inner_text()
