"""What the tests of operators' requests and commands share."""

from collections.abc import Iterator
from functools import cache

import pytest
from typer import main, testing


@pytest.fixture(autouse=True, scope="session")
def _commands() -> Iterator[None]:
    """Build the tree of commands once, instead of at each command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(testing, "_get_command", cache(main.get_command))
        yield
