"""Chromium without a window, which can reach this machine alone, and what it shows of the documentation page."""

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
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
"""Beside those that Playwright gives, which keep the browser from asking for updates and the like."""

expect.set_options(timeout=30_000)


@contextmanager
def opened() -> Iterator[Browser]:
    """The browser that CHROMIUM names, or `chromium`."""
    found = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    assert found is not None, "there is no Chromium; `make browser` installs Debian's"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def visited(browser: Browser, url: str) -> Iterator[Page]:
    """A page that asks nobody but the server that it is from, and complains of nothing."""
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
    """An operation of the page, opened."""
    dialect = name.partition(".")[0]
    # The viewer writes a full stop in an id as `\.`; in a selector's string a backslash is two.
    escaped = name.replace(".", r"\\.")
    block = page.locator(f'[id="operations-{dialect}-{escaped}"]')
    block.locator(".opblock-summary-control").click()
    return block
