"""
The browser of the page tests: Debian's Chromium, driven through playwright.
"""

from __future__ import annotations

from pathlib import Path

from tests.rig.process import find_program

# A page under test needs no sandbox of the browser's own (root has none), and asks nothing of the outside.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-dev-shm-usage",
)


def chromium_binary() -> Path:
    """Return the path of Chromium, for ``launch(executable_path=…, args=ARGUMENTS)``."""
    return find_program("chromium", "chromium-browser", "google-chrome")
