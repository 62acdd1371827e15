"""Access to devices, for their holders and users with a live share."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Key, Read, Update
from bindery.aws.expressions import Condition, above, absent, equals, every
from bindery.connectivity import presence
from bindery.connectivity.service_addresses import Assigned
from bindery.core import clock
from bindery.core.errors import Reason
from bindery.directory.users import User
from bindery.registry import bindings, holdings, identity, items
from bindery.registry.bindings import Mode
from bindery.registry.items import ServiceKind
from bindery.security import secrets

LIST_LIMIT = 1000
"""Devices that `list_services` reads, one read unit each, and services that it returns."""

_BATCH = 50
"""Devices of a batch, with their presences."""


class Listed(NamedTuple):
    """A service of a device as its user sees it."""

    address: str
    hardware: str
    """The same for all services of a device."""
    alias: str | None
    """The user's own, else the holder's, or for a shared device the recipient's."""
    kind: ServiceKind | None
    port: int | None
    active: bool
    """False if an operator blocks connections, or the device was connected and is not."""
    shared: bool
    bound_at: int
    """Time of binding or acceptance."""
    last_seen: int | None
    """None if the device has not connected yet."""
    ip: str | None
    """From which the device connected last."""


def relation(device: str, uid: str, per_user: bool) -> Key[items.Binding]:
    """Key of the item that relates a user to a device."""
    return items.user_binding(device, uid) if per_user else items.owner(device)


def related(user: User, per_user: bool, now: int) -> Condition:
    """Condition, without a reason: the user may reach the device. `now` is in seconds."""
    if per_user:
        return equals("kind", "binding") | above("expires_at", now)
    return _holds(user) | above(("shares", user.uid), now)


def _holds(user: User) -> Condition:
    return bindings.held_by(user.account, *_holders(user)) & (absent("status") | equals("status", "active"))


def is_related(user: User, per_user: bool, relation: Mapping[str, Any], now: int) -> bool:
    """Return True if a relation ({} for none) meets `related`."""
    if per_user:
        return bool(relation.get("kind") == "binding" or relation.get("expires_at", 0) > now)
    holds = (
        bindings.is_held_by(relation, user.account, *_holders(user)) and relation.get("status", "active") == "active"
    )
    return bool(holds or relation.get("shares", {}).get(user.uid, 0) > now)


def _holders(user: User) -> list[str]:
    """Return a user and their bank customer as holders."""
    customer = [] if user.customer is None else [identity.customer_holder(user.customer)]
    return [identity.user_holder(user.uid), *customer]


def reachable(address: str, assignment: str) -> Condition:
    """Condition: a device can be reached. Raises the `obstacle`, or `CONFLICT` (another assignment)."""
    return every(
        [equals(("services", address, "assignment"), assignment), absent("banned_at"), absent("inactive")]
    ).raises(lambda device: obstacle(device, address) or Reason.CONFLICT, address=address)


def obstacle(device: Mapping[str, Any], address: str) -> Reason | None:
    """Return why a device ({} for none) cannot be reached."""
    if address not in device.get("services", {}):
        return Reason.NOT_SHARED
    if "banned_at" in device:
        return Reason.DEVICE_BANNED
    return Reason.DEVICE_INACTIVE if "inactive" in device else None


def list_services(user: User) -> list[Listed]:
    """Return the first `LIST_LIMIT` services of the first `LIST_LIMIT` devices that a user may reach.

    The user's own come first, then shared ones, then their customer's and account's.
    """
    own = list(dynamodb.query(items.user_devices_and_names(user.uid), consistent=True, round_trips=1))
    names = {item["sk"].partition("#")[2]: item["name"] for item in own if item["kind"] == "name"}
    related: dict[str, Mapping[str, Any]] = {}
    for device, relation in islice(_related(user, own), LIST_LIMIT):
        related.setdefault(device, relation)
    found: list[Listed] = []
    identities = list(related)
    for start in range(0, len(identities), _BATCH):
        part = identities[start : start + _BATCH]
        keys: list[Key[Any]] = [make(each) for each in part for make in (items.device, items.presence)]
        batch = dynamodb.get_many([Read(key) for key in keys])
        for each in part:
            record = batch[items.device(each)]
            if record is not None:
                found += _listed(record, related[each], batch[items.presence(each)], names)
    return found[:LIST_LIMIT]


def rename(user: User, address: str, assigned: Assigned | None, name: str, *, used: Update | None) -> None:
    """Name a service for a user. `used` is written in the same transaction. Raises `NOT_SHARED` and `TOKEN_INVALID`."""
    assigned = assigned or Assigned.nowhere(user.uid)
    reaches = related(user, assigned.per_user, clock.seconds()).raises(Reason.NOT_SHARED, address=address)
    # An erasure disables the user before it removes their names.
    valid = (equals("generation", user.generation) & equals("enabled", True)).raises(Reason.TOKEN_INVALID)
    dynamodb.transact(
        [
            relation(assigned.device, user.uid, assigned.per_user).check(reaches),
            items.user(user.uid).check(valid),
            items.service_name(user.uid, address).put({"kind": "name", "name": name}),
        ],
        aside=used,
    )


def delete_service(user: User, address: str, assigned: Assigned | None, *, used: Update | None) -> None:
    """Remove a service from a device that the user or their account or bank customer holds alone.

    `used` is written in the same transaction. Raises `SERVICE_UNKNOWN` and `CONFLICT`.
    """
    if assigned is None or assigned.per_user:
        # In multi mode, the service is other users' too.
        assigned = Assigned.nowhere(user.uid)
    device = assigned.device
    unchanged = equals("assignment", assigned.assignment).raises(
        # Lifting a ban or activating the device replaces the assignment.
        lambda found: Reason.CONFLICT if found.get("device") == device else Reason.SERVICE_UNKNOWN
    )
    there = equals(("services", address, "assignment"), assigned.assignment)
    dynamodb.transact(
        [
            items.owner(device).check(_holds(user).raises(Reason.SERVICE_UNKNOWN)),
            items.service_address(address).delete(when=unchanged),
            items.device(device).update(remove=[("services", address)], when=there.raises(Reason.SERVICE_UNKNOWN)),
        ],
        aside=used,
    )


def _related(user: User, own: Sequence[items.UserDevice]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    now = clock.seconds()
    others = _holders(user)[1:]
    others += [identity.account_holder(user.account, part) for part in range(user.parts)]
    for kind in ("binding", "share"):
        held = [item for item in own if item["kind"] == kind and holdings.lasts(item)]
        yield from ((item["device"], item) for item in sorted(held, key=lambda item: item["bound_at"]))
    for holder in others:
        for binding in dynamodb.query(items.held_by(holder), round_trips=1):
            if is_related(user, "kind" in binding, binding, now):
                yield binding["pk"], binding


def _listed(
    device: items.Device, relation: Mapping[str, Any], last: items.Presence | None, names: Mapping[str, str]
) -> Iterator[Listed]:
    per_user = "kind" in relation and relation.get("mode", Mode.MULTI) == Mode.MULTI
    last = presence.under(last, None if per_user else relation["binding"])
    present = last is None or presence.is_online(last)
    # The relation of a share is what the user holds of the device, not another user's binding.
    facts = {**device, **relation}
    alias = next((facts[name] for name in ("name", "alias", "nickname") if facts.get(name)), None)
    for address, service in sorted(device.get("services", {}).items()):
        yield Listed(
            address=address,
            hardware=secrets.fingerprint(device["pk"])[:32],
            alias=names.get(address, alias),
            kind=service.get("kind"),
            port=service.get("port"),
            active=present and obstacle(device, address) is None,
            shared=relation.get("kind") == "share",
            bound_at=relation["bound_at"],
            last_seen=None if last is None else presence.last_seen(last),
            ip=None if last is None else last["ip"],
        )
