"""What the local server runs beside requests: asynchronous invocations, the relay host and the change feed."""

import asyncio
import socket
import threading
from typing import Any

import pytest
from starlette.responses import Response

from tools import template
from tools.local import serve
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


def test_server_ends_with_what_runs_beside_it():
    async def fail() -> None:
        raise RuntimeError("broken")

    beside = {"the relay host": asyncio.Event().wait, "the change feed": fail}
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = serve.Server([], serve.configured(Response()), beside)
        server.run([listening])
    assert server.failure == "the change feed stopped unexpectedly (RuntimeError('broken'))"
