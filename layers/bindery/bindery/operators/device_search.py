"""Devices over all dialects, as operators look for them and see them. Nothing here shows a secret."""

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Item, Page, Read
from bindery.connectivity import service_addresses
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.operators import forced_unbind
from bindery.registry import devices, identity

_FACTS = (
    "model",
    "module_type",
    "data_center",
    "device_os",
    "device_version",
    "device_type",
    "app_version",
    "app_name",
    "added_at",
    "current_screen",
    "content_id",
    "content_type",
    "active_at",
)
"""What a dialect says of its devices beside who they are."""


def find(
    limit: int,
    cursor: str | None,
    *,
    serial: str | None = None,
    mac: str | None = None,
    imei: str | None = None,
    address: str | None = None,
) -> Page:
    """Part of the list of devices that answer to the one of these that is given.

    A serial number is looked for in every dialect, and as a registered identifier too, which the first page adds to its
    others: it may have one more than `limit`. A serial number may be that of many devices, the others are of one at
    most, so there are no pages of them. At most three round trips. Raises `INVALID`: not exactly one is given, it is no
    service address, or the cursor is none, or of no serial number.
    """
    if sum(value is not None for value in (serial, mac, imei, address)) != 1:
        raise Refused(Reason.INVALID, detail="Give exactly one of serial, mac, imei and address.")
    if serial is None and cursor is not None:
        raise Refused(Reason.INVALID, detail="Only what is found by serial has pages: leave out the cursor.")
    if serial is not None:
        found = devices.with_serial(serial, limit, cursor)
        keys = [item["pk"] for item in found.items]
        first = [] if cursor is not None else _read([identity.customer_device(serial)])
        return Page([*first, *_read(keys)], found.cursor)
    if mac is not None:
        return Page(_read([identity.player_device(mac)]), None)
    if imei is not None:
        return Page(_read([identity.customer_device(imei)]), None)
    assigned = service_addresses.find(address or "")
    return Page(_read([] if assigned is None else [assigned.device]), None)


def show(device: str) -> Item:
    """A device, who holds it (`binding`), and where several may, the first of its `users`. Raises `NOT_FOUND`."""
    record = dynamodb.get(devices.key(device))
    if record is None:
        raise Refused(Reason.NOT_FOUND)
    owner, users = forced_unbind.standing(device)
    now = clock.seconds()
    return {
        **_describe(record),
        "binding": None if owner is None else _binding(owner, now),
        "users": [_user(user) for user in users if user.get("expires_at", now + 1) > now],
    }


def _read(keys: list[str]) -> list[Item]:
    records = dynamodb.get_many([Read(devices.key(key)) for key in keys]) if keys else []
    return [_describe(record) for record in records if record is not None]


def _describe(record: Item) -> Item:
    return {
        **identity.parts(record["pk"]),
        **{
            name: record[name]
            for name in ("dialect", "serial", "created_at", "changed_at", "changed_by")
            if name in record
        },
        "device": identity.opaque(record["pk"]),
        "facts": {name: record[name] for name in _FACTS if name in record},
        "device_key_set": bool(record["device_key"]) if "device_key" in record else None,
        "enabled": "disabled" not in record,
        "active": "inactive" not in record,
        "address": record.get("address"),
        "ban": _done(record, "banned_at", "ban_reason", "banned_by"),
        "unbanned": _done(record, "unbanned_at", "ban_reason", "unbanned_by"),
        "unbound": _done(record, "unbound_at", "unbind_reason", "unbound_by"),
    }


def _done(record: Item, at: str, reason: str, by: str) -> Item | None:
    """What an operator did to a device: when, why and who."""
    return {"at": record[at], "reason": record[reason], "by": record.get(by)} if at in record else None


def _binding(owner: Item, now: int) -> Item:
    kind, name = identity.holder_parts(owner["holder"])
    return {
        "holder": {"kind": kind, "id": name},
        "bound_at": owner["bound_at"],
        "name": _name(owner),
        "status": owner.get("status"),
        "fid": owner.get("fid"),
        "shares": [
            {"uid": uid, "expires_at": until * 1000}
            for uid, until in sorted(owner.get("shares", {}).items())
            if until > now
        ],
    }


def _user(binding: Item) -> Item:
    _, uid = identity.holder_parts(binding["holder"])
    return {
        "uid": uid,
        "kind": binding["kind"],
        "bound_at": binding.get("bound_at"),
        "name": _name(binding),
        "fid": binding.get("fid"),
        "expires_at": binding["expires_at"] * 1000 if "expires_at" in binding else None,
    }


def _name(binding: Item) -> str | None:
    """What the holder calls the device, by whichever word their dialect has for it."""
    return next((binding[word] for word in ("name", "alias", "nickname") if word in binding), None)
