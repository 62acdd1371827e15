"""remoteit: every schedule of parallel requests is equivalent to some order of the requests."""

from collections.abc import Callable
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.connectivity import leases, service_addresses
from bindery.core import clock
from bindery.core.errors import Refused
from bindery.directory import accounts, api_keys, sessions, users
from bindery.directory.api_keys import Grant, Kind
from bindery.registry import devices, identity, items
from bindery.registry.bindings import Mode
from tests import invariants, quectel
from tests.concurrency import schedules, test_quectel
from tests.concurrency.schedules import Request, Tables, of_device, of_operators, operator
from tests.http_api import Response
from tests.properties.scale import FULL
from tests.quectel import ME, OTHER, World
from tests.records import ADDRESS
from tests.sample_requests import send

DEVELOPER = "A" * 40


def by(uid: str, name: str, body: dict[str, str], **more: Any) -> Callable[[], Response]:
    """Return the function that sends a user's request."""
    headers = {"developerkey": DEVELOPER, "token": sessions.issue(uid, "remoteit", 600)[0]}
    return lambda: send(f"remoteit.{name}", headers, body=body, **more)


SHELL = ADDRESS[:-1] + "2"
"""Service address of a second service."""


def delete(uid: str = ME, address: str = ADDRESS) -> Request:
    return Request(f"{uid} deletes {address}", by(uid, "delete_device", {}, path={"address": address}))


def name(uid: str = ME, alias: str = "Door") -> Request:
    body = {"deviceaddress": ADDRESS, "devicealias": alias}
    return Request(f"{uid} names {alias}", by(uid, "rename_device", body))


def connect(uid: str, hostip: str | None = None, address: str = ADDRESS) -> Request:
    body = {"deviceaddress": address, **({} if hostip is None else {"hostip": hostip})}
    return Request(f"{uid} connects to {address}", by(uid, "connect_device", body), gains="connect")


def assign(address: str = SHELL) -> Request:
    path = f"devices/{identity.opaque(quectel.DEVICE)}/address"
    return operator(f"assign {address}", "devices", "PUT", path, {"address": address, "service": "ssh"})


def stop(uid: str = ME) -> Request:
    path = f"connections/{identity.opaque(quectel.DEVICE)}/{uid}"
    return operator("stop", "connections", "DELETE", path)


def own_stop(uid: str = ME) -> Request:
    """Return the user's own request to end their current connection."""
    lease = dynamodb.get(items.connection(quectel.DEVICE, uid))
    assert lease is not None
    body = {"deviceaddress": ADDRESS, "connectionid": lease["connection"]}
    return Request(f"{uid} stops", by(uid, "stop_connection", body))


BAN, *_ = of_operators(quectel.DEVICE)


def withdraw(address: str | None = None) -> Request:
    """Withdraw a service address, or all."""
    path = f"devices/{identity.opaque(quectel.DEVICE)}/address"
    query = "" if address is None else {"address": address}
    return operator(f"withdraw {address or 'all'}", "devices", "DELETE", path, query=query)


def revoke(uid: str = ME) -> Request:
    return operator("revoke", "users", "POST", f"users/{uid}/revoke-tokens")


def installation(mode: Mode) -> None:
    """Bind a quectel device of this mode to one user and assign it a service address, without connections."""
    World(mode)
    accounts.create("tools", name="Tools")
    api_keys.issue("tools", Kind.REMOTEIT, Grant.READ_WRITE, alias="demo", chosen=DEVELOPER)
    quectel.succeeded(quectel.as_user(ME))
    service_addresses.assign(ADDRESS, quectel.DEVICE)


def connected(uid: str = ME, address: str = ADDRESS) -> None:
    assert connect(uid, address=address).ask().status == 200


def shared() -> None:
    """Share the device with the other user."""
    quectel.share(ME, OTHER, clock.seconds() + 1000)


GIVEN: dict[str, Callable[[], object]] = {
    "alone": lambda: None,
    "connected": connected,
    "shared": shared,
    "share connected": lambda: (shared(), connected(OTHER)),
    "two services": lambda: (service_addresses.assign(SHELL, quectel.DEVICE, "ssh"), connected()),
    "banned": lambda: devices.ban(quectel.DEVICE, "stolen"),
}


def broken(tables: Tables) -> list[str]:
    """Check the invariants, and that according to the tables no relay admits a caller without access to the device, or
    by a lease that was ended."""
    found = invariants.broken(tables)
    directory = {item["pk"]: item for item in tables["DIRECTORY"]}
    for lease in tables["BINDINGS"]:
        if lease["sk"].startswith("connection#"):
            try:
                leases.admit(lease["label"], "203.0.113.9")
            except Refused:
                continue
            if not invariants.reaches(tables, lease["caller"], lease["pk"]):
                found.append(f"{lease['caller']} is admitted without access to the device")
            user = directory[items.user(lease["caller"]).pk]
            generation = users.lease_generation(user, directory[items.account(user["account"]).pk])
            address = directory.get(items.service_address(lease["address"]).pk, {})
            assignment = address["assignment"] if address.get("device") == lease["pk"] else None
            if (lease["generation"], lease["assignment"]) != (generation, assignment):
                found.append(f"{lease['caller']} is admitted by a lease that was ended")
    return found


REQUESTS: dict[str, Callable[[Mode], Request]] = {
    **test_quectel.REQUESTS,
    "connect": lambda _: connect(ME),
    "connect elsewhere": lambda _: connect(ME, "198.51.100.1"),
    "connect to the shell": lambda _: connect(ME, address=SHELL),
    "another's connect": lambda _: connect(OTHER),
    "stop": lambda _: stop(),
    "own stop": lambda _: own_stop(),
    "another's own stop": lambda _: own_stop(OTHER),
    "name": lambda _: name(),
    "another name": lambda _: name(ME, "Gate"),
    "another's name": lambda _: name(OTHER),
    "delete": lambda _: delete(),
    "delete the shell": lambda _: delete(ME, SHELL),
    "withdraw all": lambda _: withdraw(),
    "withdraw": lambda _: withdraw(ADDRESS),
    "withdraw the shell": lambda _: withdraw(SHELL),
    "assign": lambda _: assign(ADDRESS),
    "assign the shell": lambda _: assign(),
    "deactivate": lambda _: of_device(quectel.DEVICE, "deactivate"),
    "revoke": lambda _: revoke(),
}

CASES = schedules.cases("""
    alone: connect | connect elsewhere, another's connect, stop, ban, deactivate, unbind, end, another's bind, revoke
    alone: connect to the shell | assign the shell
    alone: name | another name, unbind, end, another's bind, connect, delete, revoke
    banned: connect | unban
    banned: delete | unban
    connected: connect | stop, unbind, end, revoke, withdraw all, delete, assign the shell, own stop
    connected: connect | unbind + bind, withdraw + assign, end + another's bind, connect elsewhere + own stop
    connected: another's connect | another's bind, another's bind + end
    connected: stop | stop, unbind
    connected: own stop | own stop, stop, unbind, end, ban, another's bind, revoke, withdraw all, unbind + bind
    connected: delete | delete, withdraw all, unbind, end, another's bind, ban, assign the shell, unbind + bind
    connected: assign the shell | withdraw all
    two services: delete | delete the shell, withdraw all
    two services: connect | withdraw the shell, connect to the shell
    two services: connect to the shell | withdraw the shell
    two services: withdraw the shell | withdraw all
    shared: another's name | another's unbind, unbind
    shared: another's connect | unbind, another's unbind, end, ban, a third's bind, connect
    shared: another's connect | another's unbind + another's bind
    share connected: another's connect | another's unbind, unbind
    share connected: another's own stop | another's unbind, unbind
""")


@pytest.mark.parametrize(
    ("case", "mode"),
    # Cases of three requests have the most schedules.
    [(case, mode) for case in CASES for mode in Mode if FULL or case.count(" + ") == 1 or mode is Mode.UNIQUE],
)
def test_every_schedule_is_equivalent_to_some_order(case: str, mode: Mode, prepared: Any) -> None:
    given, asked = schedules.parts(case)
    prepared(mode, lambda: installation(mode))
    GIVEN[given]()
    assert schedules.check([REQUESTS[name](mode) for name in asked], broken) > 1
