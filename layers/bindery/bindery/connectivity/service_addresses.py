"""Service addresses of devices (document 003), at most one each.

Leases name the assignment's id. Lifting a ban or activating the device replaces it, so ended leases stay ended.
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
    """True in multi mode (quectel)."""
    assignment: str

    @classmethod
    def from_item(cls, item: items.ServiceAddress | None) -> Self | None:
        """Return the device of an item, if any."""
        return None if item is None else cls(item["device"], item["per_user"], item["assignment"])


def find(address: str) -> Assigned | None:
    """Return the device at a service address. Raises `INVALID`."""
    canonical = service_address(address)
    if canonical is None:
        raise Refused(Reason.INVALID)
    return Assigned.from_item(dynamodb.get(items.service_address(canonical)))


def assign(address: str, device: str) -> None:
    """Assign a service address. Raises `INVALID`, `NOT_FOUND` and `ALREADY_EXISTS` (for either)."""
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
    """Remove a service address, ending its connections. Raises `NOT_FOUND`."""
    canonical = service_address(address) or address
    assigned = Assigned.from_item(dynamodb.get(items.service_address(canonical)))
    if assigned is None:
        raise Refused(Reason.NOT_FOUND)
    _remove(canonical, assigned.device)


def withdraw_from(device: str) -> None:
    """Remove a device's service address. Raises `NOT_FOUND`."""
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
    """Return True in multi mode. A product's mode never changes."""
    if "product_key" not in device:
        return False
    product = dynamodb.get(items.product(device["product_key"]))
    return product is not None and product["mode"] == Mode.MULTI
