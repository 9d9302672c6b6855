"""Headless Chromium on pages that ask for user and password, driven by Playwright; it ends with its block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, sync_playwright

_CHROMIUM = "/usr/bin/chromium"
_QUIET = (  # nothing is asked of the world outside
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PATIENCE = 60_000  # milliseconds: on a busy computer a page is slow


@contextmanager
def browsing(user: str, password: str, *, height: int = 900) -> Iterator[Page]:
    """An empty tab. height: of its window, in pixels; pages draw only what is inside."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=_QUIET)
        try:
            context = browser.new_context(
                viewport={"width": 1280, "height": height}, http_credentials={"username": user, "password": password}
            )
            context.set_default_timeout(PATIENCE)
            yield context.new_page()
        finally:
            browser.close()
