"""Clients of AWS that call a server on the loopback interface."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from bindery.aws import connections, direct, sdk
from tests.conftest import clear_caches
from tests.layer.aws.servers import Server

CLIENTS: dict[str, Any] = {"direct": direct.Client, "botocore": sdk.Client}

Start = Callable[..., Server]

_opened: list[Any] = []


@pytest.fixture(autouse=True)
def pauses(environment: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Do not wait between attempts, but record for how long. Nothing is kept from other tests."""
    paused: list[float] = []
    environment.setattr(time, "sleep", paused.append)
    connections._context.cache_clear()
    yield paused
    while _opened:
        close(_opened.pop())
    connections._context.cache_clear()
    clear_caches()


@pytest.fixture
def start(environment: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start servers and use the last one as the endpoint."""
    with ExitStack() as stack:

        def start(*replies: Any, **options: Any) -> Server:
            server = stack.enter_context(Server(*replies, **options))
            environment.setenv("AWS_ENDPOINT_URL", server.url)
            return server

        yield start


def dial(kind: str = "direct") -> Any:
    """Return a client, which is closed after the test."""
    _opened.append(CLIENTS[kind]("dynamodb"))
    return _opened[-1]


def name_of(client: Any, name: str) -> str:
    """Return the name in the item with this name: the same, unless the client confuses responses."""
    found: str = client.call("GetItem", TableName="t", Key={"pk": {"S": name}})["Item"]["pk"]["S"]
    return found


def close(client: Any) -> None:
    if isinstance(client, direct.Client):
        client.close()
    else:
        client.client.close()
