"""Pytest plugin that runs tests at another date and time, with the files in another order (`make calendar`).

It changes the clock of this process but not of servers started by a test. Use it only for tests without servers.
"""

import random
from datetime import datetime

import pytest
import time_machine


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--moment", type=datetime.fromisoformat, required=True, help="date and time at which the run begins"
    )


def pytest_configure(config: pytest.Config) -> None:
    traveller = time_machine.travel(config.getoption("moment"), tick=True)
    traveller.start()
    config.add_cleanup(traveller.stop)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Shuffle the files, with the moment as the seed: every process gets the same order."""
    files = sorted({item.path for item in items})
    random.Random(str(config.getoption("moment"))).shuffle(files)
    items.sort(key=lambda item: files.index(item.path))
