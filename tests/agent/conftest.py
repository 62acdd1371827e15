"""Short waits for the agent in the test's process, and a logger without handlers."""

from collections.abc import Iterator

import pytest

from agent import bindery_agent


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait long for close frames, which most tests do not answer."""
    monkeypatch.setattr(bindery_agent, "CLOSE_TIMEOUT", 0.02)


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again almost at once. tests/agent/test_schedule.py has the real pauses."""
    monkeypatch.setattr(bindery_agent, "FIRST_BACKOFF", 0.02)


@pytest.fixture(autouse=True)
def _no_handlers() -> Iterator[None]:
    """Remove the log handler that a command line added."""
    yield
    bindery_agent.log.handlers.clear()
