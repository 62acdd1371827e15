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
from tests.concurrency import schedules
from tests.concurrency.schedules import Request, Tables, of_device, of_operators, operator
from tests.concurrency.test_quectel import bind, end, unbind
from tests.http_api import Response
from tests.properties.scale import FULL
from tests.quectel import ME, OTHER, THIRD, World
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


BAN, UNBAN, _ = of_operators(quectel.DEVICE)


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


def assigned(directory: dict[str, dict[str, Any]], lease: dict[str, Any]) -> str | None:
    """Return the assignment of a lease's address if it is the lease's device's."""
    address = directory.get(items.service_address(lease["address"]).pk, {})
    return address["assignment"] if address.get("device") == lease["pk"] else None


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
            if (lease["generation"], lease["assignment"]) != (generation, assigned(directory, lease)):
                found.append(f"{lease['caller']} is admitted by a lease that was ended")
    return found


CASES: dict[str, tuple[str, Callable[[Mode], list[Request]]]] = {
    "two connects of one user": ("alone", lambda mode: [connect(ME), connect(ME, "198.51.100.1")]),
    "two users connect": ("alone", lambda mode: [connect(ME), connect(OTHER)]),
    "a connect and a stop": ("connected", lambda mode: [connect(ME), stop()]),
    "a connect and a stop of none": ("alone", lambda mode: [connect(ME), stop()]),
    "two stops": ("connected", lambda mode: [stop(), stop()]),
    "a connect and a ban": ("alone", lambda mode: [connect(ME), BAN]),
    "a connect and an unban": ("banned", lambda mode: [connect(ME), UNBAN]),
    "a connect and a deactivation": ("alone", lambda mode: [connect(ME), of_device(quectel.DEVICE, "deactivate")]),
    "a connect and an unbind": ("alone", lambda mode: [connect(ME), unbind(ME)]),
    "a connect again and an unbind": ("connected", lambda mode: [connect(ME), unbind(ME)]),
    "a stop and an unbind": ("connected", lambda mode: [stop(), unbind(ME)]),
    "a connect, an unbind and a bind": ("connected", lambda mode: [connect(ME), unbind(ME), bind(ME)]),
    "a connect and an end": ("alone", lambda mode: [connect(ME), end(mode)]),
    "a connect again and an end": ("connected", lambda mode: [connect(ME), end(mode)]),
    "a connect and another's bind": ("alone", lambda mode: [connect(ME), bind(OTHER)]),
    "another's connect and bind": ("connected", lambda mode: [connect(OTHER), bind(OTHER)]),
    "a connect and its user's tokens revoked": ("alone", lambda mode: [connect(ME), revoke()]),
    "a connect again and its user's tokens revoked": ("connected", lambda mode: [connect(ME), revoke()]),
    "the user's own stop and their tokens revoked": ("connected", lambda mode: [own_stop(), revoke()]),
    "a connect and the address withdrawn": ("connected", lambda mode: [connect(ME), withdraw()]),
    "a connect and the service deleted by its owner": ("connected", lambda mode: [connect(ME), delete()]),
    "the service deleted by its owner and withdrawn": ("connected", lambda mode: [delete(), withdraw()]),
    "the service deleted by its owner and an unbind": ("connected", lambda mode: [delete(), unbind(ME)]),
    "the service deleted twice": ("connected", lambda mode: [delete(), delete()]),
    "the service deleted by its owner and an end": ("connected", lambda mode: [delete(), end(mode)]),
    "the service deleted by its owner and another's bind": ("connected", lambda mode: [delete(), bind(OTHER)]),
    "the service deleted by its owner and an unban": ("banned", lambda mode: [delete(), UNBAN]),
    "the service deleted by its owner and a ban": ("connected", lambda mode: [delete(), BAN]),
    "the service deleted by its owner and another assigned": ("connected", lambda mode: [delete(), assign()]),
    "both services deleted": ("two services", lambda mode: [delete(), delete(ME, SHELL)]),
    "a service deleted by its owner and all withdrawn": ("two services", lambda mode: [delete(), withdraw()]),
    "the service deleted, an unbind and a bind": ("connected", lambda mode: [delete(), unbind(ME), bind(ME)]),
    "a connect and a service assigned": ("alone", lambda mode: [connect(ME, address=SHELL), assign()]),
    "a connect and another service assigned": ("connected", lambda mode: [connect(ME), assign()]),
    "a connect and another service withdrawn": ("two services", lambda mode: [connect(ME), withdraw(SHELL)]),
    "a connect to another service and its withdrawal": (
        "two services",
        lambda mode: [connect(ME, address=SHELL), withdraw(SHELL)],
    ),
    "connects to two services": ("two services", lambda mode: [connect(ME), connect(ME, address=SHELL)]),
    "a service withdrawn and all withdrawn": ("two services", lambda mode: [withdraw(SHELL), withdraw()]),
    "a service assigned and all withdrawn": ("connected", lambda mode: [assign(), withdraw()]),
    "a connect, the address withdrawn and assigned": (
        "connected",
        lambda mode: [connect(ME), withdraw(ADDRESS), assign(ADDRESS)],
    ),
    "two names": ("alone", lambda mode: [name(), name(ME, "Gate")]),
    "a name and an unbind": ("alone", lambda mode: [name(), unbind(ME)]),
    "a name and an end": ("alone", lambda mode: [name(), end(mode)]),
    "a name and another's bind": ("alone", lambda mode: [name(), bind(OTHER)]),
    "a name and a connect": ("alone", lambda mode: [name(), connect(ME)]),
    "a name and the service deleted": ("alone", lambda mode: [name(), delete()]),
    "a name and the user's tokens revoked": ("alone", lambda mode: [name(), revoke()]),
    "a name by a share and its end": ("shared", lambda mode: [name(OTHER), unbind(OTHER)]),
    "a name by a share and the end of its binding": ("shared", lambda mode: [name(OTHER), unbind(ME)]),
    "a connect, an end and another's bind": ("connected", lambda mode: [connect(ME), end(mode), bind(OTHER)]),
    "a connect and the user's own stop": ("connected", lambda mode: [connect(ME), own_stop()]),
    "a connect elsewhere, a connect and the user's own stop": (
        "connected",
        lambda mode: [connect(ME), connect(ME, "198.51.100.1"), own_stop()],
    ),
    "the user's own stop, twice": ("connected", lambda mode: [own_stop(), own_stop()]),
    "the user's own stop and an operator's": ("connected", lambda mode: [own_stop(), stop()]),
    "the user's own stop and an unbind": ("connected", lambda mode: [own_stop(), unbind(ME)]),
    "the user's own stop and an end": ("connected", lambda mode: [own_stop(), end(mode)]),
    "the user's own stop and a ban": ("connected", lambda mode: [own_stop(), BAN]),
    "the user's own stop and another's bind": ("connected", lambda mode: [own_stop(), bind(OTHER)]),
    "the user's own stop, an unbind and a bind": ("connected", lambda mode: [own_stop(), unbind(ME), bind(ME)]),
    "the user's own stop and the address withdrawn": ("connected", lambda mode: [own_stop(), withdraw()]),
    "a connect by a share and the end of its binding": ("shared", lambda mode: [connect(OTHER), unbind(ME)]),
    "a connect by a share and its end": ("shared", lambda mode: [connect(OTHER), unbind(OTHER)]),
    "a connect by a share and an end by force": ("shared", lambda mode: [connect(OTHER), end(mode)]),
    "a connect by a share and a ban": ("shared", lambda mode: [connect(OTHER), BAN]),
    "a connect by a share and another's bind": ("shared", lambda mode: [connect(OTHER), bind(THIRD)]),
    "a connect by a share and by its owner": ("shared", lambda mode: [connect(OTHER), connect(ME)]),
    "a connect again by a share and its end": ("share connected", lambda mode: [connect(OTHER), unbind(OTHER)]),
    "a connect again by a share and the end of its binding": (
        "share connected",
        lambda mode: [connect(OTHER), unbind(ME)],
    ),
    "a stop by a share's recipient and its end": ("share connected", lambda mode: [own_stop(OTHER), unbind(OTHER)]),
    "a stop by a share's recipient and the end of its binding": (
        "share connected",
        lambda mode: [own_stop(OTHER), unbind(ME)],
    ),
    "a connect by a share, its end and the device's bind": (
        "shared",
        lambda mode: [connect(OTHER), unbind(OTHER), bind(OTHER)],
    ),
    "another connects and binds, and an end": ("connected", lambda mode: [connect(OTHER), bind(OTHER), end(mode)]),
}


LONG = (
    *("the service deleted, an unbind and a bind", "a connect, the address withdrawn and assigned"),
    *("a connect, an unbind and a bind", "a connect, an end and another's bind"),
    *("a connect elsewhere, a connect and the user's own stop", "the user's own stop, an unbind and a bind"),
    *("a connect by a share, its end and the device's bind", "another connects and binds, and an end"),
)
"""Cases of three requests, with the most schedules. `make test` runs them in one mode only."""


@pytest.mark.parametrize(
    ("case", "mode"),
    [(case, mode) for case in CASES for mode in Mode if FULL or case not in LONG or mode is Mode.UNIQUE],
)
def test_every_schedule_is_equivalent_to_some_order(case: str, mode: Mode, prepared: Any) -> None:
    given, asked = CASES[case]
    prepared(mode, lambda: installation(mode))
    GIVEN[given]()
    assert schedules.check(asked(mode), broken) > 1
