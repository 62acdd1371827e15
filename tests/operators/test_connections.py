"""List the live leases of a device or a caller, and end them."""

from typing import Any

import pytest

from bindery.connectivity import service_addresses
from bindery.connectivity.leases import ANY_CLIENT, Connection, admit
from bindery.core import env
from bindery.core.errors import Reason, Refused
from bindery.directory import accounts, users
from bindery.registry import identity
from tests.http_api import Response, admin
from tests.operators.conftest import At
from tests.records import company_device, connection
from tests.tables import everything

pytestmark = pytest.mark.usefixtures("registry")

ADDRESSES = {"S1": "80:00:00:00:00:00:00:F1", "S2": "80:00:00:00:00:00:00:F2"}
SSH = "80:00:00:00:00:00:00:F3"
LEASE = 28800


@pytest.fixture(autouse=True)
def _world(registry: None) -> None:
    accounts.create("acme", name="Acme")
    for uid in ("ann", "bob"):
        users.create(uid, "acme")
    for serial, address in ADDRESSES.items():
        service_addresses.assign(address, company_device(serial=serial))


def device(serial: str) -> str:
    return identity.company_device("acme", "M", serial)


def make(uid: str, serial: str = "S1") -> Connection:
    return connection(uid, ADDRESSES[serial])


def listed(**query: Any) -> Response:
    if "device" in query:
        query["device"] = identity.opaque(query["device"])
    return admin("connections", "GET", "connections", query=query)


def stop(serial: str, uid: str) -> Response:
    return admin("connections", "DELETE", f"connections/{identity.opaque(device(serial))}/{uid}")


def ids(answer: Response) -> list[str]:
    assert answer.status == 200
    return [lease["id"] for lease in answer.json()["items"]]


def test_leases_are_listed_by_device_and_by_caller_without_labels(at: At) -> None:
    at(1_000_000_999)
    first, second, third = make("ann"), make("bob"), make("ann", "S2")
    answer = listed(device=device("S1"))
    assert ids(answer) == [first.id, second.id]
    assert answer.json()["next"] is None
    shown = {"id": first.id, "device": identity.opaque(device("S1")), "address": ADDRESSES["S1"], "account": "acme"}
    shown |= {"caller": "ann", "client_ip": ANY_CLIENT, "created_at": 1_000_000_999}
    assert answer.json()["items"][0] == shown | {"expires_at": (1_000_000 + LEASE) * 1000}
    assert first.label not in answer.body
    assert set(ids(listed(caller="ann"))) == {first.id, third.id}
    assert ids(listed(caller="eve")) == ids(listed(device="rufus#x#y")) == []


@pytest.mark.parametrize("by", ["device", "caller"])
def test_list_is_paginated(by: str) -> None:
    made = {make("ann").id, make("bob" if by == "device" else "ann", "S1" if by == "device" else "S2").id}
    asked: dict[str, Any] = {"device": device("S1")} if by == "device" else {"caller": "ann"}
    first = listed(**asked, limit=1)
    rest = listed(**asked, limit=2, cursor=first.json()["next"])
    assert (len(ids(first)), rest.json()["next"]) == (1, None)
    assert {*ids(first), *ids(rest)} == made


def test_ended_lease_is_neither_listed_nor_stopped(at: At) -> None:
    at(1_000_000_999)
    made = make("ann")
    at(made.expires_at * 1000 - 1)
    assert ids(listed(caller="ann")) == [made.id]
    at(made.expires_at * 1000)
    assert ids(listed(caller="ann")) == ids(listed(device=device("S1"))) == []
    stands = everything()
    assert stop("S1", "ann").status == 404
    assert everything() == stands


def test_stopped_connection_admits_nobody_until_a_new_connect() -> None:
    stopped, other, elsewhere = make("ann"), make("bob"), make("ann", "S2")
    answer = stop("S1", "ann")
    assert (answer.status, answer.json()) == (200, {"device": identity.opaque(device("S1")), "caller": "ann"})
    with pytest.raises(Refused) as caught:
        admit(stopped.label, "203.0.113.9")
    assert caught.value.reason is Reason.NOT_FOUND
    for kept in (other, elsewhere):
        assert admit(kept.label, "203.0.113.9").lease["connection"] == kept.id
    again = stop("S1", "ann")
    assert (again.status, again.json()["reason"]) == (404, "not_found")
    made = make("ann")
    assert admit(made.label, "203.0.113.9").lease["connection"] == made.id


def test_relay_host_gets_the_credential_of_a_client_at_its_port(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("RELAY_HOST", "relay.example.com:34168-34168")
    env.clear_cache()
    service_addresses.assign(SSH, device("S1"), "ssh", 22)
    made = connection("ann", SSH, "203.0.113.9")
    asked = {"port": 34168, "client": "203.0.113.9"}

    def credential(**changes: Any) -> Response:
        return admin("connections", "GET", "connections/relay", query=asked | changes)

    shown = {"credential": f"port#34168.{made.id}", "device": identity.opaque(device("S1")), "caller": "ann"}
    assert (credential().status, credential().json()) == (200, shown | {"expires_at": made.expires_at * 1000})
    for other in (credential(port=34169), credential(client="203.0.113.10")):
        assert (other.status, other.json()["detail"]) == (404, "The client has no connection at this port.")
    stop("S1", "ann")
    assert credential().status == 404
