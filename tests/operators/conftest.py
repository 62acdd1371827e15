"""Fixtures of the tests of operators' requests and commands."""

from collections.abc import Callable, Iterator
from functools import cache

import pytest
from typer import main, testing

from bindery.core import clock
from tests.command_line import Bindery, connect, run
from tests.feed import Feed, captured

At = Callable[[int], None]


@pytest.fixture(autouse=True, scope="session")
def _commands() -> Iterator[None]:
    """Build the tree of commands once, instead of at each command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(testing, "_get_command", cache(main.get_command))
        yield


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> At:
    """Set the time."""
    return lambda moment: monkeypatch.setattr(clock, "now", lambda: moment)


@pytest.fixture
def now(at: At) -> int:
    """Freeze the time."""
    moment = clock.now()
    at(moment)
    return moment


@pytest.fixture
def feed(registry: None, monkeypatch: pytest.MonkeyPatch) -> Feed:
    """Capture every change of the test."""
    return captured(monkeypatch)


@pytest.fixture
def bindery(monkeypatch: pytest.MonkeyPatch) -> Bindery:
    """Run a command line against the functions in this process."""
    connect(monkeypatch)
    return run
