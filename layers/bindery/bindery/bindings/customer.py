"""asseco: a customer of a bank registers the phones, watches and tablets that they own (document 002).

A device has one customer at a time. While it is active or blocked, its nickname is one of a kind among the customer's:
a guard item beside the bindings holds the name. Unregistering ends both; what was registered stays visible to its last
customer until someone registers the device anew.
"""

from dataclasses import dataclass
from enum import StrEnum

from bindery import clock, devices, dynamo, identity
from bindery.bindings import record
from bindery.dynamo import Condition, Delete, Item, Key, Put, Table, Update, Verdict
from bindery.faults import Fault, Reason


class Status(StrEnum):
    """What a registration is good for."""

    ACTIVE = "active"
    BLOCKED = "blocked"
    UNREGISTERED = "unregistered"


@dataclass(frozen=True, slots=True)
class OwnedDevice:
    """A registered device as its customer sees it."""

    identifier: str
    """As given when it was registered."""
    customer: str
    status: Status
    nickname: str
    operating_system: str
    brand_name: str | None
    model_name: str | None
    installation_id: str | None
    push_id: str | None
    push_expiration_date: str | None


def register(
    customer: str,
    identifier: str,
    *,
    kind: str,
    nickname: str,
    operating_system: str,
    brand_name: str | None,
    model_name: str | None,
    push_platform: str | None,
    push_handle: str | None,
) -> None:
    """Register a device to a customer: one transaction of three items.

    Raises, in this order, `DEVICE_BANNED`, `IDENTIFIER_TAKEN` (active or blocked, any customer's), `NICKNAME_TAKEN`.
    """
    device = identity.customer_device(identifier)
    binding, now = record.new_id(), clock.now()
    registration = {
        "holder": identity.customer_holder(customer),
        "binding": binding,
        "bound_at": now,
        "since": record.since("asseco", now),
        "connected": {},
        "status": Status.ACTIVE,
        "identifier": identifier,
        "identifier_kind": kind,
        "nickname": nickname,
        "operating_system": operating_system,
        "brand_name": brand_name,
        "model_name": model_name,
        "installation_id": None,
        "push_platform": push_platform,
        "push_handle": push_handle,
        "push_id": None,
        "push_expiration_date": None,
    }
    dynamo.transact(
        [
            devices.seen(device, "asseco"),
            Put(
                record.owner(device),
                registration,
                Condition(
                    expression="attribute_not_exists(#pk) OR #status = :unregistered",
                    values={":unregistered": Status.UNREGISTERED},
                    otherwise=Reason.IDENTIFIER_TAKEN,
                ),
            ),
            Put(
                guard(customer, nickname),
                {"device": device, "binding": binding},
                Condition(expression="attribute_not_exists(#pk)", otherwise=Reason.NICKNAME_TAKEN),
            ),
        ]
    )


def find(customer: str, identifier: str) -> OwnedDevice:
    """A customer's device. Raises `DEVICE_UNKNOWN`: nobody's, or another customer's."""
    return _read(customer, _registration(customer, identifier))


def owned(customer: str) -> list[OwnedDevice]:
    """A customer's devices, those registered last at the end: as many as two round trips bring, some thousands."""
    found = dynamo.query(
        Table.BINDINGS,
        "#holder = :holder AND begins_with(#since, :dialect)",
        {":holder": identity.customer_holder(customer), ":dialect": "asseco#"},
        index=record.BY_HOLDER,
    )
    return [_read(customer, item) for item in found]


def unregister(customer: str, identifier: str) -> str:
    """End a registration, active or blocked, and return its identifier as it was given.

    Raises `DEVICE_UNKNOWN`, `STATUS_NOT_VALID` (unregistered already) and `UNAVAILABLE` (the nickname was changed
    or the device registered anew meanwhile, and nothing else: try again).
    """
    registration = _registration(customer, identifier)
    if registration["status"] == Status.UNREGISTERED:
        raise Fault(Reason.STATUS_NOT_VALID)

    def changed(item: Item) -> Reason:
        if item.get("holder") != registration["holder"]:
            return Reason.DEVICE_UNKNOWN
        return Reason.STATUS_NOT_VALID if item["status"] == Status.UNREGISTERED else Reason.UNAVAILABLE

    dynamo.transact(ending(registration, changed))
    return str(registration["identifier"])


def ending(registration: Item, otherwise: Verdict) -> list[Update | Delete]:
    """The writes that end a registration, active or blocked, and its connections.

    `otherwise` if it is no longer the one that was read.
    """
    _, customer = identity.holder_parts(registration["holder"])
    return [
        Update(
            record.owner(registration["pk"]),
            "SET #status = :unregistered REMOVE #connected",
            {":unregistered": Status.UNREGISTERED},
            Condition(
                expression="#binding = :binding AND #status IN (:active, :blocked) AND #nickname = :nickname",
                values={
                    ":binding": registration["binding"],
                    ":active": Status.ACTIVE,
                    ":blocked": Status.BLOCKED,
                    ":nickname": registration["nickname"],
                },
                otherwise=otherwise,
            ),
        ),
        # The guard is this device's: it is written and removed with the nickname that the condition above holds.
        Delete(guard(customer, registration["nickname"])),
    ]


def guard(customer: str, nickname: str) -> Key:
    """Where a nickname is held for a customer. The item has no `holder`, so the index by holder leaves it out."""
    return Key(Table.BINDINGS, identity.customer_holder(customer), f"nickname#{identity.folded(nickname)}")


def _registration(customer: str, identifier: str) -> Item:
    item = dynamo.get(record.owner(identity.customer_device(identifier)))
    if item is None or item["holder"] != identity.customer_holder(customer):
        raise Fault(Reason.DEVICE_UNKNOWN)
    return item


def _read(customer: str, item: Item) -> OwnedDevice:
    return OwnedDevice(
        item["identifier"],
        customer,
        Status(item["status"]),
        item["nickname"],
        item["operating_system"],
        item["brand_name"],
        item["model_name"],
        item["installation_id"],
        item["push_id"],
        item["push_expiration_date"],
    )
