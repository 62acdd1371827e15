"""The registry process and the bank's issuer, which all tests in this folder share."""

from collections.abc import Iterator

import pytest

from tests import runtime
from tests.openid import Bank
from tools.local.engine import Engine


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    runtime.ready()
    with Engine(tmp_path_factory.mktemp("engine")) as running:
        yield running


@pytest.fixture(scope="session")
def bank() -> Iterator[Bank]:
    with Bank() as opened:
        yield opened
