"""The browser and the running server that the tests share."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser import browsers
from tests.server.servers import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server") / "state")
    yield running
    assert running.stop() == 0, running.output


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with browsers.opened() as running:
        yield running
