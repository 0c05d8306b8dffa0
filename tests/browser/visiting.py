"""A visitor of the dashboard: a real browser that is signed in, and hears every complaint of the page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright

from tests.rig.chromium import ARGUMENTS
from tests.service.shop import PASSWORD


@asynccontextmanager
async def visiting(chromium: Path, address: str, user: str, **look: Any) -> AsyncIterator[tuple[Page, list[str]]]:
    """Open a page signed in as *user*; yields it and what its console said, to which errors and refusals belong."""
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        page = await browser.new_page(**look)
        page.set_default_timeout(20_000)
        told: list[str] = []
        page.on("console", lambda message: told.append(f"{message.type}: {message.text}"))
        page.on("dialog", lambda dialog: dialog.accept())
        page.on("pageerror", lambda error: told.append(str(error)))
        await page.goto(address)
        await page.get_by_label("Name").fill(user)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_role("heading", name="Overview").wait_for()
        yield page, told
        await browser.close()
