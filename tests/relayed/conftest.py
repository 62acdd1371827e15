"""Running servers with devices."""

from collections.abc import Iterator

import pytest

from tests.relayed.fleet import Device, Site, Tenant
from tests.server.servers import Server


def running(folder: pytest.TempPathFactory, module: str) -> Iterator[Site]:
    server = Server(folder.mktemp("relayed") / "state", module=module)
    site = Site(server, folder.mktemp("devices"))
    yield site
    site.close()
    assert server.stop() == 0, server.output


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from running(tmp_path_factory, "tools.local.serve")


@pytest.fixture(scope="session")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server that loses, repeats, delays and reorders messages of streams, and loses each `$disconnect`."""
    yield from running(tmp_path_factory, "tests.relayed.faulty")


@pytest.fixture
def device(site: Site) -> Iterator[Device]:
    made = Device(Tenant(site))
    yield made
    made.service.close()
