"""Service addresses: where a device can be reached, assigned by operators (document 003). A device has at most one.

Each assignment has a random id, stored with the address and with its device, and named by leases. It is replaced when a
ban is lifted or the device activated (`bindery.registry.devices`), so a lease that has ended stays ended.
"""

import uuid
from typing import NamedTuple, Self

from bindery.aws import dynamodb
from bindery.aws.expressions import absent, equals, exists
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import items
from bindery.registry.bindings import Mode
from bindery.registry.identity import service_address


class Assigned(NamedTuple):
    """The device at a service address."""

    device: str
    per_user: bool
    """True if each of its users has a binding of their own (quectel: a product in multi mode)."""
    assignment: str
    """Id of the assignment, which leases name."""

    @classmethod
    def from_item(cls, item: items.ServiceAddress | None) -> Self | None:
        """Return the device of an item, or None if there is none."""
        return None if item is None else cls(item["device"], item["per_user"], item["assignment"])


def find(address: str) -> Assigned | None:
    """Return the device at a service address. Raises `INVALID` if it is not a service address."""
    canonical = service_address(address)
    if canonical is None:
        raise Refused(Reason.INVALID)
    return Assigned.from_item(dynamodb.get(items.service_address(canonical)))


def assign(address: str, device: str) -> None:
    """Assign a service address to a device.

    Raises `INVALID` (not a service address), `NOT_FOUND` (no such device) and `ALREADY_EXISTS` (the address is
    assigned, or the device has one).
    """
    canonical = service_address(address)
    if canonical is None:
        raise Refused(Reason.INVALID)
    found = dynamodb.get(items.device(device))
    if found is None:
        raise Refused(Reason.NOT_FOUND)
    assignment = uuid.uuid4().hex
    dynamodb.transact(
        [
            items.service_address(canonical).put(
                {
                    "device": device,
                    "per_user": _per_user(found),
                    "assignment": assignment,
                    "created_at": clock.now(),
                },
                when=absent().raises(Reason.ALREADY_EXISTS),
            ),
            items.device(device).update(
                set={"address": canonical, "assignment": assignment},
                when=(exists() & absent("address")).raises(
                    lambda found: Reason.ALREADY_EXISTS if found else Reason.NOT_FOUND
                ),
            ),
        ]
    )


def withdraw(address: str) -> None:
    """Remove a service address from its device; connections to it end. Raises `NOT_FOUND`."""
    canonical = service_address(address) or address
    assigned = Assigned.from_item(dynamodb.get(items.service_address(canonical)))
    if assigned is None:
        raise Refused(Reason.NOT_FOUND)
    _remove(canonical, assigned.device)


def withdraw_from(device: str) -> None:
    """Remove a device's service address. Raises `NOT_FOUND` (no such device, or it has none)."""
    found = dynamodb.get(items.device(device))
    if found is None or "address" not in found:
        raise Refused(Reason.NOT_FOUND)
    _remove(found["address"], device)


def _remove(address: str, device: str) -> None:
    # Address and device name each other as long as either exists: both are written together.
    unchanged = equals("device", device).raises(Reason.NOT_FOUND)
    dynamodb.transact(
        [
            items.service_address(address).delete(when=unchanged),
            items.device(device).update(remove=["address", "assignment"]),
        ]
    )


def _per_user(device: items.Device) -> bool:
    """Return True for a device of a product in multi mode. A product's mode never changes, so it is copied."""
    if "product_key" not in device:
        return False
    product = dynamodb.get(items.product(device["product_key"]))
    return product is not None and product["mode"] == Mode.MULTI
