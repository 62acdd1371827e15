"""A device that misbehaves, and slow clients: refused with a reason, and no other device notices."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from wsproto.events import Event, TextMessage

from tests.relayed.fleet import Device, Site, Tenant, dribble
from tests.server.test_link_gateway import Client

FRAME = 30_000
FLOOD: list[dict[str, Any]] = [
    {"type": "ping"},
    {"type": "hello", "v": 1},
    {"type": "data", "n": 0, "d": "AAAA" * 1000},
    {"type": "still"},
    {"type": "report", "values": {"temperature": 20.5}},
    {"type": "no such type"},
]
SLOW_CLIENTS = 200


@pytest.fixture(scope="module")
def victim(site: Site) -> Iterator[Device]:
    """Another account's device, which must not notice anything."""
    made = Device(Tenant(site))
    with made.online():
        yield made
        assert made.answer(b"at the end") == "right"
    made.service.close()


class Attacker(Client):
    """A device without an agent."""

    def __init__(self, device: Device) -> None:
        super().__init__(device.site.server, authorization=f"Bearer {device.credential}")  # type: ignore[arg-type]
        self.say({"type": "hello", "v": 1, "services": ["http"]})
        assert json.loads(self.message())["type"] == "welcome"

    def text(self, text: str) -> None:
        """Send a message in frames that are short enough."""
        for start in range(0, len(text), FRAME):
            end = start + FRAME
            self.send(TextMessage(data=text[start:end], message_finished=end >= len(text)))

    def say(self, message: Any) -> None:
        self.text(json.dumps(message, separators=(",", ":")))

    def event(self) -> Event:
        while True:
            for event in self.connection.events():
                return event
            data = self.socket.recv(65536)
            assert data, "the server closed the connection without a reason"
            self.connection.receive_data(data)


@contextmanager
def attacker(device: Device) -> Iterator[Attacker]:
    made = Attacker(device)
    yield made
    made.socket.close()


def test_flood_of_one_device_does_not_reach_others(device: Device, victim: Device):
    bodies = [b"%d" % number * 1000 for number in range(20)]
    sent, ended = 0, threading.Event()
    with attacker(device) as client, ThreadPoolExecutor(10) as threads:

        def flood() -> None:
            nonlocal sent
            # Posts are refused once the device does not read.
            while not ended.is_set():
                for message in FLOOD:
                    client.say(message | {"s": f"..{sent}."})
                    sent += 1

        flooding = threading.Thread(target=flood)
        flooding.start()
        found = [answered for _ in range(5) for answered in threads.map(victim.answer, bodies)]
        ended.set()
        flooding.join()
    assert found == ["right"] * 100
    assert sent > 1000


def test_slow_clients_hold_up_nobody(victim: Device):
    host, port = victim.host, victim.site.server.port
    beginnings = [
        f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n\r\nx",
        f"GET / HTTP/1.1\r\nHost: {host}\r\nX-Slow: ",
        f"GET /link HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-",
        "P",
    ]
    with ExitStack() as stack, ThreadPoolExecutor(10) as threads:
        for number in range(SLOW_CLIENTS):
            stack.enter_context(dribble(port, beginnings[number % len(beginnings)].encode()))
        bodies = [b"%d" % number * 1000 for number in range(20)]
        assert list(threads.map(victim.answer, bodies)) == ["right"] * 20
