"""Export and erasure of what is known of a user from connections: devices' addresses and reports, and tunnels."""

import json
from typing import Any

import pytest

from bindery.asseco import owned_devices
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.aws.errors import ConnectionFailed
from bindery.connectivity import device_credentials, service_addresses
from bindery.core import clock
from bindery.directory import accounts, tsl, users
from bindery.registry import identity, items
from bindery.registry.bindings import Mode
from tests import records
from tests.contract.link.test_tunnels import tunnel
from tests.device_link import SOURCE_IP, Connection, connected
from tests.http_api import admin
from tests.operators.remains import erase, export
from tests.quectel import DEVICE, ME, OTHER, PK, World, as_user, succeeded
from tests.records import ADDRESS, TSL, company_device, registration
from tests.tables import everything, item_at, stored

pytestmark = pytest.mark.usefixtures("registry")

PHONE = "990000862471854"
REPORTED = {"switch": True}


def online(uid: str = ME) -> Connection:
    """Bind the device, connect it and let it report a property."""
    tsl.load(PK, TSL)
    connection = connected(succeeded(as_user(uid))["authKey"])
    connection.send({"type": "report", "values": REPORTED})
    return connection


def link_items() -> list[dict[str, Any]]:
    return [item for item in stored(Table.BINDINGS) if item["sk"].startswith("link#")]


@pytest.mark.parametrize("mode", Mode)
def test_export_has_the_last_connection_and_report_of_a_device(mode: Mode) -> None:
    World(mode)
    connection = online()
    last = item_at(items.presence(DEVICE))
    shown = {"device": identity.opaque(DEVICE), "ip": SOURCE_IP, "agent": "bindery-agent/1"}
    shown["connected_at"] = last["connected_at"]
    (found,) = export(ME)["presences"]
    assert last["connected_at"] <= found.pop("last_seen_at") <= clock.now()
    assert found == shown
    (reported,) = export(ME)["properties"]
    at = reported["values"]["switch"]["at"]
    assert reported == {"device": identity.opaque(DEVICE), "values": {"switch": {"value": "true", "at": at}}}
    connection.end()
    (left,) = export(ME)["presences"]
    assert left == shown | {"last_seen_at": item_at(items.presence(DEVICE))["until"]}
    text = json.dumps(export(ME))
    assert last["binding"] not in text
    assert last["connection"] not in text


@pytest.mark.parametrize("mode", Mode)
def test_erasure_removes_them_and_disconnects_the_device(mode: Mode) -> None:
    World(mode)
    connection = online()
    assert len(link_items()) == 2
    assert erase(ME) == {"families": 1, "bindings": 1, "users": 1}
    assert link_items() == []
    assert connection.received[-1] == {"type": "bye", "why": "unbound", "after": 600}
    assert not connection.is_open


def test_connection_under_another_users_binding_is_theirs() -> None:
    World(Mode.MULTI)
    succeeded(as_user(ME))
    connection = online(OTHER)
    assert [export(ME)[kind] for kind in ("presences", "properties")] == [[], []]
    assert [len(export(OTHER)[kind]) for kind in ("presences", "properties")] == [1, 1]
    kept = link_items()
    erase(ME)
    assert link_items() == kept
    assert connection.is_open


@pytest.mark.parametrize("ended", [False, True])
def test_connection_of_a_registered_device_is_exported_and_erased(ended: bool) -> None:
    accounts.create("acme", name="Acme")
    users.create("ann", "acme", customer="MIGR00002")
    device = registration("MIGR00002", PHONE, "Phone")
    connected(device_credentials.issue(device))
    if ended:
        owned_devices.unregister("MIGR00002", PHONE)
    assert [found["ip"] for found in export("ann")["presences"]] == [SOURCE_IP]
    assert erase("ann") == {"registrations": 1, "users": 1}
    # The device's key is the device's, not the customer's.
    assert [item["sk"] for item in link_items()] == ["link#key"]


def test_interrupted_erasure_leaves_nothing_of_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    World(Mode.MULTI)
    call = dynamodb.client().call
    for left in range(60):
        online()
        remaining = iter(range(left))

        def failing(operation: str, remaining: Any = remaining, **request: Any) -> Any:
            if next(remaining, None) is None:
                raise ConnectionFailed("lost", timed_out=True)
            return call(operation, **request)

        with monkeypatch.context() as patch:
            patch.setattr(dynamodb.client(), "call", failing)
            answer = admin("privacy", "DELETE", f"privacy/{ME}")
        if answer.status == 200:
            return
        assert answer.status == 503
        erase(ME)
        assert link_items() == []
        users.create(ME, "smart", domain="E.DM.1")
    raise AssertionError


def test_tunnels_are_exported_and_erased_with_their_connection_or_after_it() -> None:
    accounts.create("acme", name="Acme")
    service_addresses.assign(ADDRESS, company_device(), "ssh", 22)
    for uid in ("ann", "ben"):
        users.create(uid, "acme")
        lease = records.connection(uid)
        assert tunnel(lease, session=uid.encode().hex().ljust(32, "0")) is not None
    (mine,) = export("ann")["tunnels"]
    assert mine == {"device": identity.opaque(company_device()), "expires_at": mine["expires_at"]}
    assert mine["expires_at"] == export("ann")["connections"][0]["expires_at"]
    assert erase("ann") == {"connections": 1, "tunnels": 1, "users": 1}
    assert "ann" not in json.dumps(everything(), default=sorted)
    assert [item["caller"] for item in link_items()] == ["ben"]
    stopped = admin("connections", "DELETE", f"connections/{identity.opaque(company_device())}/ben")
    assert stopped.status == 200
    assert erase("ben") == {"tunnels": 1, "users": 1}
    assert link_items() == []
