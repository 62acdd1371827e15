"""Deletion of unbound devices. Their history stays."""

from collections.abc import Iterator, Sequence

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Check, Delete, Table, Write
from bindery.aws.expressions import Condition, absent, equals, exists
from bindery.connectivity import device_connections
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.operators import forced_unbind
from bindery.registry import acts, devices, identity, items
from bindery.registry.bindings import Mode

LIMIT = 2000
"""Items beside the device (passings, ended leases) that one call deletes, in some seconds."""

COUNTED = 100
"""Maximum number of holders that are counted."""

_BATCH = 100


def delete(device: str) -> bool:
    """Delete a device, and what is stored with it. Return False if there is more to delete: call again.

    Raises `NOT_FOUND`, `STATUS_NOT_VALID` (it is bound) and `CONFLICT`.
    """
    record = dynamodb.get(items.device(device))
    if record is None:
        raise Refused(Reason.NOT_FOUND)
    require_unbound(device)
    if _takes_several(record) and "disabled" not in record:
        _close(device)
        record |= {"disabled": True}
    if not _clear(device):
        return False
    last = dynamodb.get(items.owner(device))
    dynamodb.transact(
        [
            *_unheld(device, last),
            items.device(device).delete(when=_unchanged(record)),
            *_addresses(record),
            items.device_key(device).delete(),
            items.properties(device).delete(),
            items.presence(device).check(absent().raises(Reason.CONFLICT)),
            *acts.of(device, did="deleted", since=record["created_at"]),
        ]
    )
    return True


def require_unbound(device: str) -> None:
    """Raise `STATUS_NOT_VALID` if a device is bound."""
    found = dynamodb.page(items.holders(device), COUNTED + 1).items
    holders = [binding for binding in found if _lasts(binding)]
    if not holders:
        return
    kind, _ = identity.holder_parts(holders[0]["holder"])
    count = f"{COUNTED}+" if len(holders) > COUNTED else str(len(holders))
    held = f"{count} {kind} holds" if count == "1" else f"{count} {kind}s hold"
    raise Refused(
        Reason.STATUS_NOT_VALID, detail=f"{held} the device. End the binding first: bindery devices unbind DEVICE"
    )


def _lasts(binding: items.Binding) -> bool:
    if forced_unbind.is_registration(binding):
        return binding["status"] != "unregistered"
    return binding.get("kind") != "share" or binding["expires_at"] > clock.seconds()


def _takes_several(record: items.Device) -> bool:
    """Return True unless the device can have only one holder, whose absence a condition can ensure."""
    if "product_key" not in record:
        return False
    product = dynamodb.get(items.product(record["product_key"]))
    return product is None or product["mode"] == Mode.MULTI


def _close(device: str) -> None:
    """Prevent new bindings. Raises `STATUS_NOT_VALID`, and allows them again, if a user has just bound the device."""
    devices.set_enabled(device, False)
    try:
        require_unbound(device)
    except Refused:
        devices.set_enabled(device, True)
        raise


def _clear(device: str) -> bool:
    """Delete what earlier bindings left. Return False if there may be more."""
    page = dynamodb.page(items.beside(device), LIMIT)
    left = list(_deletions(device, page.items))
    for start in range(0, len(left), _BATCH):
        dynamodb.transact(left[start : start + _BATCH])
    last = next((item for item in page.items if item["sk"] == items.presence(device).sk), None)
    if last is not None:
        device_connections.disconnect(last, "unbound")
    return page.cursor is None


def _deletions(device: str, found: Sequence[items.Presence]) -> Iterator[Delete]:
    """Yield the deletions of items that no other write refers to."""
    kept = {items.owner(device).sk, items.device_key(device).sk, items.properties(device).sk}
    for item in found:
        if item["sk"] not in kept:
            # A connection under a new binding replaces it.
            same = equals("connection", item["connection"]) if "connection" in item else exists()
            yield items.key_of(Table.BINDINGS, item).delete(when=(absent() | same).raises(Reason.CONFLICT))


def _unheld(device: str, last: items.Binding | None) -> Iterator[Write | Check]:
    """Ensure that no binding is in the device's place, and delete a registration that has ended."""
    key = items.owner(device)
    if last is None:
        yield key.check(absent().raises(Reason.CONFLICT))
    else:
        ended = equals("binding", last["binding"]) & equals("status", "unregistered")
        yield key.delete(when=ended.raises(Reason.CONFLICT))


def _unchanged(record: items.Device) -> Condition:
    """Condition: no address was assigned, and no binding in multi mode allowed, since the device was read."""
    services, disabled = record.get("services"), record.get("disabled")
    same = absent("services") if services is None else equals("services", services)
    same &= equals("created_at", record["created_at"])
    if disabled:
        same &= exists("disabled")
    return same.raises(lambda found: Reason.CONFLICT if found else Reason.NOT_FOUND)


def _addresses(record: items.Device) -> Iterator[Delete]:
    assigned = equals("device", record["pk"]).raises(Reason.CONFLICT)
    for address in record.get("services", {}):
        yield items.service_address(address).delete(when=assigned)
