"""The browser and the running server that the tests share."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser import browsers
from tests.server.conftest import server

__all__ = ["browser", "server"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with browsers.opened() as running:
        yield running
