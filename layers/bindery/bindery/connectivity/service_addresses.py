"""Service addresses: where a device can be reached, assigned by operators (document 003). A device has at most one.

Each assignment has a random id, which the address and its device both have and leases name. It is replaced when a ban
is lifted or the device activated (`bindery.registry.devices`), so that a lease that has ended stays ended.
"""

import uuid
from typing import NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Condition, Delete, Item, Key, Put, Update
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import products
from bindery.registry import devices
from bindery.registry.bindings import Mode
from bindery.registry.identity import service_address


class Assigned(NamedTuple):
    """The device behind a service address."""

    device: str
    per_user: bool
    """Whether each of its users holds it by a binding of their own (quectel: a product in multi mode)."""
    assignment: str
    """Id of the assignment, which leases name."""


def key(address: str) -> Key:
    """Where a service address (`identity.service_address`) stands in the directory."""
    return devices.address_key(address)


def read(record: Item | None) -> Assigned | None:
    """The device in a record."""
    return None if record is None else Assigned(record["device"], record["per_user"], record["assignment"])


def find(address: str) -> Assigned | None:
    """The device at a service address. Raises `INVALID`: no such address can be."""
    canonical = service_address(address)
    if canonical is None:
        raise Refused(Reason.INVALID)
    return read(dynamodb.get(key(canonical)))


def assign(address: str, device: str) -> None:
    """Give a device a service address.

    Raises `INVALID` (no such address can be), `NOT_FOUND` (no such device) and `ALREADY_EXISTS` (the address is
    assigned, or the device has one).
    """
    canonical = service_address(address)
    if canonical is None:
        raise Refused(Reason.INVALID)
    found = dynamodb.get(devices.key(device))
    if found is None:
        raise Refused(Reason.NOT_FOUND)
    assignment = uuid.uuid4().hex
    dynamodb.transact(
        [
            Put(
                key(canonical),
                {
                    "device": device,
                    "per_user": _per_user(found),
                    "assignment": assignment,
                    "created_at": clock.now(),
                },
                Condition(expression="attribute_not_exists(#pk)", otherwise=Reason.ALREADY_EXISTS),
            ),
            Update(
                devices.key(device),
                "SET #address = :address, #assignment = :assignment",
                {":address": canonical, ":assignment": assignment},
                Condition(
                    expression="attribute_exists(#pk) AND attribute_not_exists(#address)",
                    otherwise=lambda item: Reason.ALREADY_EXISTS if item else Reason.NOT_FOUND,
                ),
            ),
        ]
    )


def withdraw(address: str) -> None:
    """Take a service address from its device; connections to it are no longer admitted. Raises `NOT_FOUND`."""
    canonical = service_address(address) or address
    assigned = read(dynamodb.get(key(canonical)))
    if assigned is None:
        raise Refused(Reason.NOT_FOUND)
    _take(canonical, assigned.device)


def withdraw_from(device: str) -> None:
    """Take from a device the service address that it has. Raises `NOT_FOUND` (no such device, or it has none)."""
    found = dynamodb.get(devices.key(device))
    if found is None or "address" not in found:
        raise Refused(Reason.NOT_FOUND)
    _take(found["address"], device)


def _take(address: str, device: str) -> None:
    # The device has the address for as long as the address has the device: both are written together.
    still = Condition(expression="#device = :device", values={":device": device}, otherwise=Reason.NOT_FOUND)
    dynamodb.transact([Delete(key(address), still), Update(devices.key(device), "REMOVE #address, #assignment")])


def _per_user(device: Item) -> bool:
    """A product's mode never changes, so what it means is copied to the address."""
    if "product_key" not in device:
        return False
    product = dynamodb.get(products.key(device["product_key"]))
    return product is not None and product["mode"] == Mode.MULTI
