"""A browser and a running server, which the tests share; each has a page of its own."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page

from tests.browser import browsers
from tests.http.servers import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server") / "state")
    yield running
    assert running.stop() == 0, running.output


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with browsers.opened() as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that asks nobody but the server that it is from, and that complains of nothing."""
    shown = browser.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    shown.on("request", lambda request: asked.append(request.url))
    shown.on("pageerror", lambda error: complaints.append(str(error)))
    shown.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    yield shown
    assert {urlsplit(url).netloc for url in asked} == {urlsplit(shown.url).netloc}
    assert urlsplit(shown.url).hostname == "127.0.0.1"
    assert complaints == []
    shown.close()
