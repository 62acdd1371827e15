"""Devices of all APIs, as operators see them."""

from collections.abc import Mapping, Sequence
from typing import Any

from bindery.asseco.owned_devices import Status
from bindery.aws import dynamodb
from bindery.aws.dynamodb import CursorPage, Read
from bindery.connectivity import presence, service_addresses
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.operators import forced_unbind
from bindery.operators.forced_unbind import Holder
from bindery.registry import devices, identity, items, ownership

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


def find(
    limit: int,
    cursor: str | None,
    *,
    serial: str | None = None,
    mac: str | None = None,
    imei: str | None = None,
    address: str | None = None,
) -> CursorPage[dict[str, Any]]:
    """Return a page of the devices with a serial number, MAC address, IMEI or service address.

    The first page also has the asseco device with the serial number. Raises `INVALID` unless exactly one is specified,
    and for a cursor without a serial number.
    """
    if sum(value is not None for value in (serial, mac, imei, address)) != 1:
        raise Refused(Reason.INVALID, detail="Give exactly one of serial, mac, imei and address.")
    if serial is None and cursor is not None:
        raise Refused(Reason.INVALID, detail="Only what is found by serial has pages: leave out the cursor.")
    if serial is not None:
        found = devices.list_with_serial(serial, limit, cursor)
        first = [] if cursor is not None else _describe_all([identity.customer_device(serial)])
        return CursorPage([*first, *_describe_all([keys["pk"] for keys in found.items])], found.cursor)
    if mac is not None:
        return CursorPage(_describe_all([identity.video_device(mac)]), None)
    if imei is not None:
        return CursorPage(_describe_all([identity.customer_device(imei)]), None)
    assigned = service_addresses.find(address or "")
    return CursorPage(_describe_all([] if assigned is None else [assigned.device]), None)


def show(device: str) -> dict[str, Any]:
    """Return a device, its `binding`, and in multi mode `users`. Raises `NOT_FOUND`."""
    record = dynamodb.get(items.device(device))
    if record is None:
        raise Refused(Reason.NOT_FOUND)
    owner, users = forced_unbind.holders(device)
    now = clock.seconds()
    # In multi mode, any user's binding keeps the device online.
    bound = bool(users) if owner is None else owner.binding.get("status", "active") == "active"
    offer = None if owner is None else ownership.offer_of(owner.binding)
    held = bool(users) if owner is None else owner.binding.get("status") != Status.UNREGISTERED
    last = presence.under(presence.find(device), None if owner is None else owner.binding["binding"]) if bound else None
    return {
        **describe(record),
        "state": ownership.state_of(record, held=held, offer=offer),
        "offer": _offer(offer),
        "presence": _presence(last),
        "binding": None if owner is None else _binding(owner, now),
        "users": [_user(user) for user in users if user.binding.get("expires_at", now + 1) > now],
    }


def _describe_all(identities: Sequence[str]) -> list[dict[str, Any]]:
    keys = [items.device(device) for device in identities]
    if not keys:
        return []
    found = dynamodb.get_many([Read(key) for key in keys])
    return [describe(record) for key in keys if (record := found[key]) is not None]


def describe(device: items.Device) -> dict[str, Any]:
    """Return what its record says of a device."""
    stored: Mapping[str, object] = device
    return {
        **identity.parts(device["pk"]),
        **{
            name: stored[name]
            for name in ("dialect", "serial", "created_at", "changed_at", "changed_by")
            if name in stored
        },
        "device": identity.opaque(device["pk"]),
        "facts": {name: stored[name] for name in _FACTS if name in stored},
        "device_key_set": bool(device["device_key"]) if "device_key" in device else None,
        "enabled": "disabled" not in device,
        "active": "inactive" not in device,
        "services": [
            {"address": address, "service": service.get("kind"), "port": service.get("port")}
            for address, service in sorted(device.get("services", {}).items())
        ],
        "ban": _ban(device),
        "unbanned": _action(stored, "unbanned_at", "ban_reason", "unbanned_by"),
        "unbound": _action(stored, "unbound_at", "unbind_reason", "unbound_by"),
    }


def _presence(last: items.Presence | None) -> dict[str, object]:
    if last is None:
        return {"state": "never connected"}
    return {
        "state": "online" if presence.is_online(last) else "offline",
        "connected_at": last["connected_at"],
        "last_seen_at": presence.last_seen(last),
        "ip": last["ip"],
        "agent": last["agent"],
    }


def _action(stored: Mapping[str, object], at: str, reason: str, by: str) -> dict[str, object] | None:
    return {"at": stored[at], "reason": stored[reason], "by": stored.get(by)} if at in stored else None


def _ban(device: items.Device) -> dict[str, object] | None:
    ban = _action(device, "banned_at", "ban_reason", "banned_by")
    return ban and ban | {"kind": device.get("ban_kind", "banned")}


def _offer(offer: items.Offer | None) -> dict[str, object] | None:
    return offer and {"to": offer["to"], "expires_at": offer["until"] * 1000, "by": offer["by"]}


def _binding(owner: Holder, now: int) -> dict[str, object]:
    binding = owner.binding
    kind, name = identity.holder_parts(binding["holder"])
    return {
        "holder": {"kind": kind, "id": name},
        "bound_at": binding["bound_at"],
        "name": owner.name,
        "status": binding["status"] if forced_unbind.is_registration(binding) else None,
        "fid": binding.get("fid"),
        "shares": [
            {"uid": uid, "expires_at": until * 1000}
            for uid, until in sorted(binding.get("shares", {}).items())
            if until > now
        ],
    }


def _user(user: Holder) -> dict[str, object]:
    binding = user.binding
    _, uid = identity.holder_parts(binding["holder"])
    return {
        "uid": uid,
        "kind": binding["kind"],
        "bound_at": binding.get("bound_at"),
        "name": user.name,
        "fid": binding.get("fid"),
        "expires_at": binding["expires_at"] * 1000 if "expires_at" in binding else None,
    }
