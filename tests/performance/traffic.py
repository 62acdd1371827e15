"""Traffic of the device link and the relay: the messages, invocations and DynamoDB calls of each case."""

import base64
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bindery.connectivity import service_addresses
from bindery.directory import tsl, users
from bindery.registry import identity
from tests import calls, device_link, quectel, records, relay, rufus
from tests.contract.link.test_tunnels import tunnel
from tests.device_link import Connection, connected
from tests.performance import costs
from tests.records import ADDRESS, TSL

FRAMES = 11
"""Full frames of a tunnel, about a megabyte."""

SERVICE_SECONDS = 0.05
"""Time that a device's service takes for a response."""

Act = Callable[[], object]


class Traffic:
    """Calls, messages and units of a case."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self.sent: list[int] = []
        self.invocations: list[calls.Invocation] = []

    def report(self, cost: costs.Cost, log: list[str]) -> dict[str, Any]:
        """Return the sizes of messages from and to clients, the calls of each invocation, units and bytes logged."""
        return {
            "messages received": self.received,
            "messages sent": self.sent,
            "invocations": [[each.name, *each.dynamodb] for each in self.invocations],
            **cost.units(),
            "bytes logged": sum(costs._line_size(line) for line in log),
        }


@contextmanager
def counting() -> Iterator[Traffic]:
    """Count the messages and invocations in this context."""
    found = Traffic()
    record, call, send = calls.recording, device_link.Gateway.call, Connection.send

    @contextmanager
    def recorded(name: str) -> Iterator[calls.Invocation]:
        with record(name) as invocation:
            found.invocations.append(invocation)
            yield invocation

    def called(gateway: device_link.Gateway, operation: str, **request: Any) -> dict[str, Any]:
        if operation == "PostToConnection":
            found.sent.append(len(request["Data"]))
        return call(gateway, operation, **request)

    def sent(connection: Connection, message: Any, **given: Any) -> None:
        found.received.append(len(json.dumps(message, separators=(",", ":"))))
        send(connection, message, **given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "recording", recorded)
        patch.setattr(device_link.Gateway, "call", called)
        patch.setattr(Connection, "send", sent)
        yield found


def connection() -> Act:
    """A device that was connected before connects and disconnects."""
    rufus.install()
    deviceid = rufus.bound()
    connected(deviceid).end()

    def act() -> None:
        made = connected(deviceid)
        made.hello()
        made.end()

    return act


def renewal() -> Act:
    """A device replaces its connection."""
    rufus.install()
    deviceid = rufus.bound()
    connected(deviceid).hello()

    def act() -> None:
        connected(deviceid).hello()

    return act


def report() -> Act:
    """A device reports a property."""
    quectel.World()
    tsl.load(quectel.PK, TSL)
    made = connected(quectel.succeeded(quectel.as_user(quectel.ME))["authKey"])
    return lambda: made.send({"type": "report", "n": 1, "values": {"switch": True}})


def request() -> Act:
    """A client gets a kilobyte from a device's HTTP service."""
    return _get(1000)


def large_response() -> Act:
    """A client gets a megabyte from a device's HTTP service."""
    return _get(1_000_000)


def _get(size: int) -> Act:
    body = random.Random(size).randbytes(size)
    world = relay.World(lambda _: [SERVICE_SECONDS, relay.plain(body)])

    def act() -> int:
        assert world.ask().body == body
        return round(world.took * 1000)

    return act


def to_device() -> Act:
    """A client sends a megabyte through a tunnel."""
    device, client, name, stream = _tunnel()
    return lambda: _carry(client, name, device, stream)


def from_device() -> Act:
    """A device sends a megabyte through a tunnel."""
    device, client, name, stream = _tunnel()
    return lambda: _carry(device, stream, client, name)


def _tunnel() -> tuple[Connection, Connection, str, str]:
    rufus.install()
    deviceid = rufus.bound()
    users.create("ann", "acme")
    service_addresses.assign(ADDRESS, identity.company_device_of("acme", deviceid), "ssh", 22)
    device, client = connected(deviceid), tunnel(records.connection("ann"))
    assert client is not None
    client.send({"type": "open", "s": "a" * 32, "n": 0})
    return device, client, "a" * 32, device.received[-1]["s"]


def _carry(sender: Connection, name: str, receiver: Connection, stream: str) -> None:
    data = base64.b64encode(bytes(relay.FRAME)).decode()
    before = len(receiver.received)
    for number in range(1, FRAMES + 1):
        sender.send({"type": "data", "s": name, "n": number, "d": data})
        if number % 4 == 0 or number == FRAMES:
            receiver.send({"type": "ack", "s": stream, "n": number + 1, "window": 8})
    assert [message["n"] for message in receiver.received[before:]] == [*range(1, FRAMES + 1)]


CASES = (connection, renewal, report, request, large_response, to_device, from_device)
