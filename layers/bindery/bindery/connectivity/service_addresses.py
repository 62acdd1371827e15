"""Service addresses of devices (document 003): one for each service.

Leases name the assignment's id. Lifting a ban or activating the device replaces it, so ended leases stay ended.
"""

import uuid
from collections.abc import Iterable
from typing import NamedTuple, Self

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table, Update
from bindery.aws.expressions import Condition, absent, equals, fewer
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import acts, devices, identity, items
from bindery.registry.bindings import Mode
from bindery.registry.identity import service_address
from bindery.registry.items import ServiceKind

LIMIT = 16
"""Services of a device."""


class Assigned(NamedTuple):
    """The device at a service address."""

    device: str
    per_user: bool
    """True in multi mode (quectel)."""
    assignment: str
    kind: ServiceKind | None = None

    @classmethod
    def from_item(cls, item: items.ServiceAddress | None) -> Self | None:
        """Return the device of an item, if any."""
        return None if item is None else cls(item["device"], item["per_user"], item["assignment"], item.get("kind"))

    @classmethod
    def nowhere(cls, uid: str) -> Self:
        """Return a device that does not exist: an unassigned address takes the same write as any other."""
        return cls(identity.nowhere(uid), per_user=False, assignment="")


def find(address: str) -> Assigned | None:
    """Return the device at a service address. Raises `INVALID`."""
    canonical = service_address(address)
    if canonical is None:
        raise Refused(Reason.INVALID)
    return Assigned.from_item(dynamodb.get(items.service_address(canonical)))


def assign(
    address: str,
    device: str,
    kind: ServiceKind | None = None,
    port: int | None = None,
    when: Condition = devices.EXISTS,
) -> None:
    """Assign a service address, which can be untyped.

    Raises `INVALID`, `NOT_FOUND`, `ALREADY_EXISTS` (the address), `LIMIT_REACHED` and `CONFLICT`.
    """
    canonical = service_address(address)
    if canonical is None:
        raise Refused(Reason.INVALID)
    found = dynamodb.get(items.device(device))
    if found is None:
        raise Refused(Reason.NOT_FOUND)
    service: items.Service = {"assignment": uuid.uuid4().hex}
    if kind is not None:
        service["kind"] = kind
    if port is not None:
        service["port"] = port
    dynamodb.transact(
        [
            items.service_address(canonical).put(
                {
                    "device": device,
                    "per_user": _per_user(found),
                    "assignment": service["assignment"],
                    "kind": kind,
                    "created_at": clock.now(),
                },
                when=absent().raises(Reason.ALREADY_EXISTS),
            ),
            _added(found, canonical, service, when),
            *acts.of(device, did="address_assigned", address=canonical),
        ]
    )


def _added(device: items.Device, address: str, service: items.Service, when: Condition) -> Update:
    key = items.key_of(Table.DEVICES, device)
    if "services" in device:
        room = (when & fewer("services", LIMIT)).raises(_why_not_added)
        return key.update(members={("services", address): service}, when=room)
    # A concurrent assignment creates the map too.
    first = (when & absent("services")).raises(Reason.CONFLICT)
    return key.update(set={"services": {address: service}}, when=first)


def _why_not_added(device: items.Device) -> Reason:
    return Reason.LIMIT_REACHED if len(device.get("services", {})) >= LIMIT else Reason.CONFLICT


def withdraw(address: str) -> None:
    """Remove a service address, ending its connections. Raises `NOT_FOUND`."""
    canonical = service_address(address) or address
    assigned = Assigned.from_item(dynamodb.get(items.service_address(canonical)))
    if assigned is None:
        raise Refused(Reason.NOT_FOUND)
    _remove([canonical], assigned.device)


def withdraw_from(device: str, address: str | None = None, when: Condition | None = None) -> None:
    """Remove one or all of a device's service addresses. Raises `NOT_FOUND`, or `CONFLICT` (all, or with `when`)."""
    services = (dynamodb.get(items.device(device)) or {}).get("services", {})
    addresses = [each for each in services if address in (None, each)]
    if not addresses:
        raise Refused(Reason.NOT_FOUND)
    if address is None:
        same = equals("services", services)
        when = same if when is None else when & same
    _remove(addresses, device, None if when is None else when.raises(Reason.CONFLICT))


def _remove(addresses: Iterable[str], device: str, when: Condition | None = None) -> None:
    # Address and device name each other as long as either exists: both are written together.
    unchanged = equals("device", device).raises(Reason.NOT_FOUND)
    dynamodb.transact(
        [
            items.device(device).update(remove=[("services", address) for address in addresses], when=when),
            *(items.service_address(address).delete(when=unchanged) for address in addresses),
            *(act for address in addresses for act in acts.of(device, did="address_removed", address=address)),
        ]
    )


def _per_user(device: items.Device) -> bool:
    """Return True in multi mode. A product's mode never changes."""
    if "product_key" not in device:
        return False
    product = dynamodb.get(items.product(device["product_key"]))
    return product is not None and product["mode"] == Mode.MULTI
