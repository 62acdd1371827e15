"""A pytest plugin that runs tests at another moment, with their files in another order: `make calendar`.

It moves the clock of this process but not of the servers that a test starts, so use it for tests without servers.
"""

import random
from datetime import datetime

import pytest
import time_machine


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--moment", type=datetime.fromisoformat, required=True, help="the moment at which the run begins")


def pytest_configure(config: pytest.Config) -> None:
    traveller = time_machine.travel(config.getoption("moment"), tick=True)
    traveller.start()
    config.add_cleanup(traveller.stop)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Shuffle the files by the moment, in the same way in every process."""
    files = sorted({item.path for item in items})
    random.Random(str(config.getoption("moment"))).shuffle(files)
    items.sort(key=lambda item: files.index(item.path))
