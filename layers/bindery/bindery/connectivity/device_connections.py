"""Connections of devices: their validity, and their end."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from bindery.aws import dynamodb, links
from bindery.aws.dynamodb import Batch, Check, Key, Read, Table, Update, Write
from bindery.aws.expressions import Condition, equals
from bindery.connectivity import presence
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import acts, devices, identity, items

RETRY_AFTER = 600
"""Seconds after which a disconnected device may connect again."""

_BAN_ATTEMPTS = 3
"""Attempts to ban a device that keeps connecting."""


class Link(NamedTuple):
    """A device's connection under a binding."""

    connection: str
    device: str
    binding: str
    sort_key: str
    """The binding's."""
    holder: str
    account: str
    """The holder's; empty for a bank's customer."""
    connected_at: int
    """In milliseconds."""

    @property
    def bound(self) -> Key[items.Binding]:
        """Key of the binding."""
        return Key(Table.BINDINGS, self.device, self.sort_key)


def check(link: Link, *reads: Read) -> Batch:
    """Check that a connection is still valid, and return what was read.

    Raises `DEVICE_BANNED`, `DEVICE_NOT_BOUND`, `ACCESS_DENIED` (holder disabled) and `NOT_FOUND` (replaced).
    """
    record, bound, last = items.device(link.device), link.bound, items.presence(link.device)
    holders = _enabled(link.holder, link.account)
    found = dynamodb.get_many([Read(record), Read(bound), Read(last), *map(Read, holders), *reads])
    if devices.banned(found[record]):
        raise Refused(Reason.DEVICE_BANNED)
    binding: Mapping[str, Any] | None = found[bound]
    if binding is None or binding["binding"] != link.binding or binding.get("status", "active") != "active":
        raise Refused(Reason.DEVICE_NOT_BOUND)
    if not all((found[key] or {}).get("enabled") for key in holders):
        raise Refused(Reason.ACCESS_DENIED)
    if (found[last] or {}).get("connection") != link.connection:
        raise Refused(Reason.NOT_FOUND)
    return found


def _enabled(holder: str, account: str) -> list[Key[Any]]:
    """Return the items that say whether a holder is enabled."""
    kind, name = identity.holder_parts(holder)
    keys: list[Key[Any]] = [items.user(name)] if kind == "user" else []
    return [*keys, items.account(account)] if account else keys


def disconnect(last: items.Presence | None, why: str) -> None:
    """Tell a connected device why its connection ends, and end it. Raises `UNAVAILABLE`."""
    if last is not None and presence.is_online(last):
        try:
            links.send(last["connection"], {"type": "bye", "why": why, "after": RETRY_AFTER})
        finally:
            # A device that does not read must not keep its connection.
            links.close(last["connection"])


def release(last: items.Presence | None) -> None:
    """`disconnect` a device that was unbound, if the gateway can be reached."""
    # Otherwise the device learns it at its next message: its connection is void.
    with suppress(Refused):
        disconnect(last, "unbound")


def close(device: str, binding: str, why: str) -> None:
    """Forget the presence and properties of a device under a binding that has ended, and disconnect the device."""
    last = presence.under(presence.find(device), binding)
    _settle([items.properties(device).delete(when=equals("binding", binding).raises(Reason.NOT_FOUND))])
    if last is not None:
        _settle([items.presence(device).delete(when=_is_last(last["connection"]))])
        disconnect(last, why)


def ban(device: str, why: str, kind: items.BanKind | None = None, when: Condition = devices.EXISTS) -> bool:
    """Ban a device, and disconnect it. Raises `NOT_FOUND`, `DEVICE_BANNED` (otherwise) and `CONFLICT`."""
    # All attempts are one act.
    act = acts.of(device, did=kind or "banned", reason=why)
    for _ in range(_BAN_ATTEMPTS):
        last = presence.find(device)
        try:
            left = items.presence(device).delete(when=presence.unchanged(last))
            banned = devices.ban(device, why, *act, left, kind=kind, when=when)
        except Refused as refused:
            # The device has connected again.
            if refused.reason is not Reason.CONFLICT:
                raise
            continue
        disconnect(last, "banned")
        return banned
    raise Refused(Reason.CONFLICT)


def seen(bound: Key[items.Binding], still: Condition) -> Update | Check:
    """Check a binding, and for a company device, of which requests read nothing else, record when it was seen."""
    if not _is_companys(bound.pk):
        return bound.check(still)
    return bound.update(set={"last_seen": clock.now()}, when=still)


def end(link: Link) -> None:
    """Record that a connection has ended, unless the device has connected again or is not bound any more."""
    writes: list[Write | Check] = [_ended(link.device, link.connection)]
    if _is_companys(link.device):
        writes.append(seen(link.bound, equals("binding", link.binding).raises(Reason.NOT_FOUND)))
    _settle(writes)


def gone(device: str, connection: str) -> None:
    """Record that API Gateway has no such connection any more."""
    _settle([_ended(device, connection)])


def _ended(device: str, connection: str) -> Update:
    ended: items.Presence = {"until": clock.now()}
    unlisted = ["holder", "holder_sort"]
    return items.presence(device).update(set=ended, remove=unlisted, when=_is_last(connection))


def _is_companys(device: str) -> bool:
    return device.startswith("rufus#")


def _is_last(connection: str) -> Condition:
    return equals("connection", connection).raises(Reason.NOT_FOUND)


def _settle(writes: Sequence[Write | Check]) -> None:
    """Write, unless a condition raises `NOT_FOUND`: then there is nothing left to change."""
    try:
        dynamodb.transact(writes)
    except Refused as refused:
        if refused.reason is not Reason.NOT_FOUND:
            raise
