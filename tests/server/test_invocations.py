"""Asynchronous invocations on the local server."""

import threading
from typing import Any

import pytest

from tools import template
from tools.local.gateway import Functions


class Held(Functions):
    """Fails, but not before it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()
        self.ran: list[tuple[str, Any]] = []

    def run(self, function: template.Function, event: dict[str, Any]) -> Any:
        self.released.wait(60)
        self.ran.append((function.name, event))
        raise RuntimeError("broken")


def test_asynchronous_invocation_returns_at_once(caplog: pytest.LogCaptureFixture):
    invocations = Held()
    invocations.call(
        "Invoke", FunctionName="bindery-local-feed-deliver", InvocationType="Event", Payload=b'{"chain": "x"}'
    )
    assert invocations.ran == []
    invocations.released.set()
    invocations.close()
    assert invocations.ran == [("feed.deliver", {"chain": "x"})]
    assert [record.getMessage() for record in caplog.records] == ["feed.deliver failed"]
