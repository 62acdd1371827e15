"""A registry whose changes are captured, and checked in the end."""

from collections.abc import Iterator

import pytest

from tests import feed as streams
from tests.feed import Feed


@pytest.fixture
def feed(registry: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Feed]:
    """Capture every change of the test. In the end, the history of all changes is checked."""
    return streams.captured(monkeypatch)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    # Not when the fixture ends: that would not count as a failure of the test.
    result = yield
    if "feed" in pyfuncitem.funcargs:
        streams.check_history(pyfuncitem.funcargs["feed"])
    return result
