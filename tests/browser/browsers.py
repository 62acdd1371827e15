"""Headless Chromium that can reach only this machine, and helpers for the documentation page."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE *.localhost",
)
"""Command-line flags in addition to those of Playwright, which turn off updates and similar requests."""

expect.set_options(timeout=30_000)


@contextmanager
def opened() -> Iterator[Browser]:
    """Yield the browser that CHROMIUM names, or `chromium`."""
    found = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    assert found is not None, "Chromium is not installed; `make browser` installs the Debian package"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def visited(browser: Browser, url: str) -> Iterator[Page]:
    """Yield a page, and assert that it sends requests only to its own server and logs no error or warning."""
    page = browser.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.goto(url)
    yield page
    assert {urlsplit(url).netloc for url in asked} == {urlsplit(url).netloc}
    assert complaints == []
    page.close()


def operation(page: Page, name: str) -> Locator:
    """Expand an operation on the page, and return its block."""
    dialect = name.partition(".")[0]
    # Swagger UI writes a full stop in an id as `\.`; the selector string needs the backslash twice.
    escaped = name.replace(".", r"\\.")
    block = page.locator(f'[id="operations-{dialect}-{escaped}"]')
    block.locator(".opblock-summary-control").click()
    return block
