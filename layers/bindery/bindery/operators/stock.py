"""Devices of all APIs that are lost and found, retired, and returned to stock."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from bindery.asseco.owned_devices import Status
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Check, Delete, Put, Read, Update, Write
from bindery.aws.expressions import Condition, absent, equals, exists
from bindery.connectivity import device_connections, device_credentials, presence
from bindery.core.errors import Reason, Refused
from bindery.operators import forced_unbind
from bindery.quectel import transfers
from bindery.registry import acts, devices, identity, items, ownership
from bindery.registry.ownership import Act, State

_WRITES = 100
"""Writes of a transaction."""

_ATTEMPTS = 3
"""Attempts at a change while the device or its holders change."""

_TOO_MANY = "Too many users have the device to return it in one step. Retire it first: bindery devices retire"


class _Found(NamedTuple):
    record: items.Device
    owner: items.Binding | None
    """Also a registration that has ended."""
    held: list[items.Binding]
    """Bindings, without shares."""
    last: items.Presence | None
    key: items.DeviceKey | None

    @property
    def device(self) -> str:
        return self.record["pk"]

    @property
    def state(self) -> State:
        return ownership.state_of(self.record, held=bool(self.held), offer=ownership.offer_of(self.owner))


MayChange = Callable[[items.Device, Sequence[items.Binding]], None]
"""Raises an exception if a device with these bindings must not be changed."""


def _may_change(device: items.Device, held: Sequence[items.Binding]) -> None:
    """Let any device be changed."""


def lose(device: str, why: str) -> None:
    """Record that a device is lost: it cannot be bound or used until it is found, and its holder keeps it.

    Raises `NOT_FOUND`, `DEVICE_BANNED` and `CONFLICT`.
    """
    ownership.check(_read(device).state, Act.LOST)
    device_connections.ban(device, why, "lost")


def find(device: str) -> None:
    """Record that a lost device was found. Raises as `lose`."""
    ownership.check(_read(device).state, Act.FOUND)
    devices.find(device)


def retire(device: str, why: str, check: MayChange = _may_change) -> None:
    """End a device's bindings, and ban it until it is returned to stock, unless `check` raises. Raises as `lose`."""
    # All attempts are one act.
    act = acts.of(device, did="retired", reason=why)
    _repeated(lambda: _retire(device, why, act, check))
    # Several users' bindings may not fit into a transaction. Nobody can bind the device any more.
    while _repeated(lambda: _end_more(device, why)):
        pass


def take_back(device: str, why: str, check: MayChange = _may_change) -> None:
    """Return a device to stock: end its bindings, revoke its key, and lift the ban of a lost or retired device.

    Raises `NOT_FOUND`, `LIMIT_REACHED` and `CONFLICT`.
    """
    act, revoked = acts.of(device, did="returned", reason=why), acts.of(device, did="key_revoked")
    _repeated(lambda: _take_back(device, why, act, revoked, check))


def _repeated(change: Callable[[], bool]) -> bool:
    """Make a change again if the device connects, is bound or changes at the same time."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return change()
        except Refused as refused:
            if refused.reason is not Reason.CONFLICT:
                raise
    return change()


def _retire(device: str, why: str, act: Sequence[Put], check: MayChange) -> bool:
    found = _read(device)
    ownership.check(found.state, Act.RETIRE)
    if found.state is State.RETIRED:
        return False
    check(found.record, found.held)
    first: list[Write | Check] = [
        items.device(device).update(
            set=devices.banned_now(why, "retired") | _unbound(found, why),
            remove=devices.LIFTED,
            when=_same_ban(found.record),
        ),
        *act,
        *_connection_ended(found),
        *_still_free(found),
    ]
    ended, _ = _packed(found, why, "retired", _WRITES - len(first))
    dynamodb.transact([*first, *ended])
    device_connections.disconnect(found.last, "banned")
    return True


def _end_more(device: str, why: str) -> bool:
    """End further bindings of a retired device. Return True if there were any."""
    found = _read(device)
    if found.state is not State.RETIRED or not found.held:
        return False
    still = items.device(device).update(set=devices.unbound_now(why), when=_same_ban(found.record))
    ended, _ = _packed(found, why, "retired", _WRITES - 1)
    dynamodb.transact([still, *ended])
    return True


def _take_back(device: str, why: str, act: Sequence[Put], revoked: Sequence[Put], check: MayChange) -> bool:
    found = _read(device)
    ownership.check(found.state, Act.RETURN)
    lifted = found.state in (State.LOST, State.RETIRED)
    if not lifted and not found.held and found.key is None:
        return False
    check(found.record, found.held)
    changed = (devices.unbanned_now() if lifted else {}) | _unbound(found, why)
    record, same = items.device(device), _same_ban(found.record)
    first: list[Write | Check] = [
        record.update(set=changed, remove=devices.BAN if lifted else (), when=same) if changed else record.check(same),
        *act,
        *device_credentials.revocation(device, found.key, revoked),
        *_connection_ended(found),
        *_still_free(found),
    ]
    ended, complete = _packed(found, why, "returned", _WRITES - len(first))
    if not complete:
        raise Refused(Reason.LIMIT_REACHED, detail=_TOO_MANY)
    dynamodb.transact([*first, *ended])
    device_connections.release(found.last)
    return True


def _read(device: str) -> _Found:
    # First the holders: a device that was retired since then still has them, and the write finds out.
    holders = list(dynamodb.query(items.holders(device), consistent=True))
    record, last, key = items.device(device), items.presence(device), items.device_key(device)
    found = dynamodb.get_many([Read(record), Read(last), Read(key)])
    known = found[record]
    if known is None:
        raise Refused(Reason.NOT_FOUND)
    owner = next((binding for binding in holders if binding["sk"] == items.owner(device).sk), None)
    held = [binding for binding in holders if binding.get("kind") != "share" and not _has_ended(binding)]
    return _Found(known, owner, held, found[last], found[key])


def _has_ended(binding: items.Binding) -> bool:
    return forced_unbind.is_registration(binding) and binding["status"] == Status.UNREGISTERED


def _unbound(found: _Found, why: str) -> items.Device:
    return devices.unbound_now(why) if found.held else {}


def _same_ban(record: items.Device) -> Condition:
    """Condition: the device has the same ban, or none, as when it was read."""
    if "banned_at" not in record:
        return (exists() & absent("banned_at")).raises(Reason.CONFLICT)
    kind = equals("ban_kind", record["ban_kind"]) if "ban_kind" in record else absent("ban_kind")
    return (equals("banned_at", record["banned_at"]) & kind).raises(Reason.CONFLICT)


def _still_free(found: _Found) -> list[Check]:
    """Check that an unbound device is still unbound. In multi mode, a concurrent binding counts as a later one."""
    if found.held:
        return []
    free = absent()
    if found.owner is not None:
        free = equals("binding", found.owner["binding"]) & equals("status", Status.UNREGISTERED)
    return [items.owner(found.device).check(free.raises(Reason.CONFLICT))]


def _connection_ended(found: _Found) -> list[Delete]:
    """End the device's presence, and delete its properties."""
    device = found.device
    return [items.presence(device).delete(when=presence.unchanged(found.last)), items.properties(device).delete()]


def _packed(found: _Found, why: str, cause: items.Cause, space: int) -> tuple[list[Write | Check], bool]:
    """Return the ends of as many bindings as have space, and True if these are all."""
    writes: list[Write | Check] = []
    for binding in found.held:
        more = _merged([*writes, *_ending(found.record, binding, why, cause)])
        if len(more) > space:
            return writes, False
        writes = more
    return writes, True


def _ending(record: items.Device, binding: items.Binding, why: str, cause: items.Cause) -> Iterator[Write | Check]:
    yield from forced_unbind.ending(binding, why, cause)
    kind, uid = identity.holder_parts(binding["holder"])
    if kind == "user":
        yield from transfers.service_names(uid, record)


def _merged(writes: Iterable[Write | Check]) -> list[Write | Check]:
    """Join what is removed from a family's common list: a transaction cannot write an item twice."""
    merged: dict[object, Write | Check] = {}
    for write in writes:
        known = merged.get(write.key)
        if isinstance(write, Update) and isinstance(known, Update):
            write = known._replace(delete={"common": {*known.delete["common"], *write.delete["common"]}})
        merged[write.key] = write
    return list(merged.values())
