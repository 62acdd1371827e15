"""Leases: every schedule of clients, tunnels, or connects to a full binding is equivalent to some order."""

from collections.abc import Callable
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.connectivity import leases
from bindery.connectivity.leases import FIRST_CLIENT
from bindery.core import clock
from bindery.core.errors import Refused
from bindery.registry import items
from bindery.registry.bindings import Mode
from tests import device_link, quectel
from tests.concurrency import schedules
from tests.concurrency.schedules import Request
from tests.concurrency.test_quectel import unbind
from tests.concurrency.test_remoteit import BAN, connect, installation, revoke, stop
from tests.http_api import Response
from tests.invariants import broken
from tests.quectel import DEVICE, ME, OTHER, THIRD


def client(address: str = "203.0.113.9") -> Request:
    """Return a client's use of the user's current connection, as the relay authorizes it."""
    lease = dynamodb.get(items.connection(DEVICE, ME))
    assert lease is not None

    def asked() -> Response:
        try:
            return Response(200, {}, leases.admit(lease["label"], address).lease["connection"])
        except Refused as refused:
            return Response(403, {}, refused.reason)

    return Request(f"{address} uses the connection", asked)


CLIENTS: dict[str, Callable[[], list[Request]]] = {
    "two clients": lambda: [client(), client("203.0.113.10")],
    "a client and a new connection": lambda: [client(), connect(ME, FIRST_CLIENT)],
    "a client and a stop": lambda: [client(), stop()],
    "a client and an unbind": lambda: [client(), unbind(ME)],
    "a client and its user's tokens revoked": lambda: [client(), revoke()],
    "a client and a ban": lambda: [client(), BAN],
}


@pytest.mark.parametrize("case", CLIENTS)
def test_clients_of_a_connection_for_the_first_are_serializable(case: str, prepared: Any) -> None:
    prepared(Mode.UNIQUE, lambda: installation(Mode.UNIQUE))
    assert connect(ME, FIRST_CLIENT).ask().status == 200
    assert schedules.check(CLIENTS[case](), broken) > 1


def tunnel(session: str = "5" * 32, name: str = "new") -> Request:
    """Let a client's tunnel connect with the user's current connection."""
    lease = dynamodb.get(items.connection(DEVICE, ME))
    assert lease is not None
    headers = {"Authorization": f"Bearer {lease['label']}.{lease['connection']}", "Bindery-Session": session}

    def asked() -> Response:
        made = device_link.connect("", headers=headers, identity=f"{name}=", source_ip="203.0.113.9")
        device_link.gateway().open.pop(f"{name}=", None)
        return Response(403 if made is None else 200, {}, "")

    return Request(f"{name} tunnel", asked, gains="connect")


TUNNELS: dict[str, Callable[[], list[Request]]] = {
    "two tunnels of a session": lambda: [tunnel(name="one"), tunnel(name="two")],
    "a tunnel and a new connection": lambda: [tunnel(), connect(ME)],
    "a tunnel and a stop": lambda: [tunnel(), stop()],
    "a tunnel and an unbind": lambda: [tunnel(), unbind(ME)],
    "a tunnel and its user's tokens revoked": lambda: [tunnel(), revoke()],
    "a tunnel and a ban": lambda: [tunnel(), BAN],
}


@pytest.mark.parametrize("case", TUNNELS)
def test_tunnels_are_serializable(case: str, prepared: Any) -> None:
    prepared(Mode.UNIQUE, lambda: installation(Mode.UNIQUE))
    device_link.gateway().open.clear()
    assert connect(ME).ask().status == 200
    assert schedules.check(TUNNELS[case](), broken) > 1


FULL_BINDING: dict[str, Callable[[], list[Request]]] = {
    "two connects": lambda: [connect(OTHER), connect(THIRD)],
    "a connect and a stop": lambda: [connect(OTHER), stop()],
    "a connect and the end of the binding": lambda: [connect(OTHER), unbind(ME)],
    "a connect and the end of its share": lambda: [connect(OTHER), unbind(OTHER)],
    "a connect and a ban": lambda: [connect(OTHER), BAN],
}


@pytest.mark.parametrize("case", FULL_BINDING)
def test_connects_that_make_room_are_serializable(case: str, prepared: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "CALLER_LIMIT", 1)
    prepared(Mode.UNIQUE, lambda: installation(Mode.UNIQUE))
    for uid in (OTHER, THIRD):
        quectel.share(ME, uid, clock.seconds() + 1000)
    assert connect(ME).ask().status == 200
    assert schedules.check(FULL_BINDING[case](), broken) > 1
