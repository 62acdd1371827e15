"""Connections: leases to reach a device at its service address (document 003).

The relay that serves the proxy domain asks `admit` before it lets a client through. A lease ends when its time is over,
when its caller connects again, and as soon as the caller may not reach the device any more: that is looked up whenever
a client comes, so that nothing has to be cleaned up when a binding, a share or a user ends.
"""

import secrets
import string
import uuid
from dataclasses import dataclass

from bindery import clock, devices, dynamo, identity, settings
from bindery.bindings import record
from bindery.directory import accounts, users
from bindery.directory.addresses import Assigned
from bindery.directory.users import User
from bindery.dynamo import Check, Condition, Delete, Item, Key, Page, Put, Read, Table, Update
from bindery.faults import Fault, Reason

ANY_CLIENT = "0.0.0.0"  # noqa: S104 (no address to listen on: the document's word for every client)
FIRST_CLIENT = "255.255.255.255"
"""Latches to the first client that comes."""

BY_PROXY = "by_proxy"
"""The index by proxy label, which holds the keys alone."""

_LABEL_LENGTH = 8


@dataclass(frozen=True, slots=True)
class Connection:
    """A lease. `proxy` is its label under the proxy domain, `expires_at` the second at which it ends."""

    id: str
    device: str
    address: str
    proxy: str
    expires_at: int

    def server(self) -> str:
        """The name under which the relay serves this connection."""
        return f"{self.proxy}.{settings.read('PROXY_DOMAIN')}"

    def seconds_left(self) -> int:
        """How long this connection lasts from now."""
        return self.expires_at - clock.seconds()


def key(device: str, uid: str) -> Key:
    """Where the lease of a user's connection to a device stands."""
    return Key(Table.BINDINGS, device, identity.join("connection", identity.user_holder(uid)))


def connect(
    user: User, address: str, assigned: Assigned | None, client_ip: str, *, used: Update | None = None
) -> Connection:
    """A new connection for a user to the device at a service address, which ends the user's last one to that device.

    `client_ip` is the only client that may use it, or `ANY_CLIENT`, or `FIRST_CLIENT`. One transaction: what the user
    may and what the device is hold at the moment of the lease; `used` (of the `ApiKey`) goes along with it. Raises
    `NOT_SHARED` (the user neither holds the device nor has a share of it, or there is none at this address),
    `DEVICE_BANNED` and `DEVICE_INACTIVE`.
    """
    if assigned is None:
        raise Fault(Reason.NOT_SHARED, address=address)
    device, now = assigned.device, clock.now()
    connection = Connection(
        id=str(uuid.uuid4()).upper(),
        device=device,
        address=address,
        proxy="".join(secrets.choice(string.ascii_lowercase) for _ in range(_LABEL_LENGTH)),
        expires_at=now // 1000 + int(settings.read("LEASE_SECONDS")),
    )
    dynamo.transact(
        [
            Check(
                _relation(device, user.uid, assigned.per_user),
                _related(user, assigned.per_user, address, now // 1000),
            ),
            Check(devices.key(device), _reachable(address)),
            Put(
                key(device, user.uid),
                {
                    "holder": identity.caller_holder(user.uid),
                    "since": record.since("remoteit", now),
                    "connection": connection.id,
                    "caller": user.uid,
                    "account": user.account,
                    "per_user": assigned.per_user,
                    "address": address,
                    "client_ip": client_ip,
                    "proxy": connection.proxy,
                    "expires_at": connection.expires_at,
                    "created_at": now,
                },
            ),
        ],
        aside=used,
    )
    return connection


def admit(label: str, client_ip: str) -> Connection:
    """The connection that a client may use which comes to `label` under the proxy domain.

    Raises `NOT_FOUND` (no such connection, or it has ended), `ACCESS_DENIED` (it is for another client), and like
    `connect` `NOT_SHARED`, `DEVICE_BANNED` and `DEVICE_INACTIVE` if what it rests on is no more.
    """
    place, lease = _live(label)
    client = identity.ip_address(client_ip)
    if client is None or lease["client_ip"] not in (ANY_CLIENT, FIRST_CLIENT, client):
        raise Fault(Reason.ACCESS_DENIED)
    relation, device, user, account = dynamo.get_many(
        [
            Read(_relation(place.pk, lease["caller"], lease["per_user"])),
            Read(devices.key(place.pk)),
            Read(users.key(lease["caller"])),
            Read(accounts.key(lease["account"])),
        ]
    )
    if user is None or not user["enabled"] or not accounts.enabled(account):
        raise Fault(Reason.NOT_SHARED)
    if relation is None or not _is_related(users.read(user), lease["per_user"], relation, clock.seconds()):
        raise Fault(Reason.NOT_SHARED)
    if obstacle := _obstacle(device or {}, lease["address"]):
        raise Fault(obstacle)
    if lease["client_ip"] == FIRST_CLIENT:
        _latch(place, lease["connection"], client)
    return Connection(lease["connection"], place.pk, lease["address"], label, lease["expires_at"])


def live(limit: int, cursor: str | None, *, device: str | None = None, caller: str | None = None) -> Page:
    """Part of the list of the live leases of a device, by caller, or of a caller (a uid), by time.

    Those that have ended are left out of a page, so it can hold fewer than `limit` and yet not be the last. A device's
    are read consistently, a caller's from an index. Raises `INVALID`: not exactly one is given, or the cursor is none.
    """
    if (device is None) == (caller is None):
        raise Fault(Reason.INVALID, detail="Give either device or caller.")
    if device is not None:
        values = {":device": device, ":connection": key(device, "").sk}
        found = dynamo.page(
            Table.BINDINGS, "#pk = :device AND begins_with(#sk, :connection)", values, limit=limit, cursor=cursor
        )
    else:
        values = {":holder": identity.caller_holder(caller or "")}
        found = dynamo.page(
            Table.BINDINGS, "#holder = :holder", values, index=record.BY_HOLDER, limit=limit, cursor=cursor
        )
    now = clock.seconds()
    return Page([lease for lease in found.items if lease["expires_at"] > now], found.cursor)


def stop(device: str, uid: str) -> None:
    """End a user's connection to a device: nobody is admitted to it any more. Raises `NOT_FOUND`: there is no live one.

    A transaction of one, because its token makes a repetition after a lost answer the same success.
    """
    live = Condition(expression="#expires_at > :now", values={":now": clock.seconds()}, otherwise=Reason.NOT_FOUND)
    dynamo.transact([Delete(key(device, uid), live)])


def _live(label: str) -> tuple[Key, Item]:
    """The lease that has a label now; the index may still show one that had it. Raises `NOT_FOUND`."""
    for found in dynamo.query(Table.BINDINGS, "#proxy = :proxy", {":proxy": label}, index=BY_PROXY):
        place = Key(Table.BINDINGS, found["pk"], found["sk"])
        lease = dynamo.get(place)
        if lease is not None and lease["proxy"] == label and lease["expires_at"] > clock.seconds():
            return place, lease
    raise Fault(Reason.NOT_FOUND)


def _latch(place: Key, connection: str, client: str) -> None:
    """Make a connection the client's who comes first."""
    dynamo.write(
        Update(
            place,
            "SET #client_ip = :client",
            {":client": client},
            Condition(
                expression="#connection = :connection AND #client_ip IN (:first, :client)",
                values={":connection": connection, ":first": FIRST_CLIENT},
                otherwise=lambda item: (
                    Reason.ACCESS_DENIED if item.get("connection") == connection else Reason.NOT_FOUND
                ),
            ),
        )
    )


# Who may reach a device, and whether it can be reached: each once as the condition of a write, once over a record read.


def _relation(device: str, uid: str, per_user: bool) -> Key:
    """The record that relates a user to a device, if any does."""
    return record.of_user(device, uid) if per_user else record.owner(device)


def _related(user: User, per_user: bool, address: str, now: int) -> Condition:
    if per_user:
        expression = "#kind = :binding OR #expires_at > :now"
        names: dict[str, str] = {}
        values = {":binding": "binding", ":now": now}
    else:
        holders = {f":holder{number}": holder for number, holder in enumerate(_holders(user))}
        expression = (
            f"#holder IN ({', '.join(holders)}) AND (attribute_not_exists(#status) OR #status = :active)"
            " OR #shares.#uid > :now"
        )
        names = {"uid": user.uid}
        values = {**holders, ":active": "active", ":now": now}
    return Condition(
        expression=expression, names=names, values=values, otherwise=Reason.NOT_SHARED, detail={"address": address}
    )


def _is_related(user: User, per_user: bool, relation: Item, now: int) -> bool:
    if per_user:
        return bool(relation.get("kind") == "binding" or relation.get("expires_at", 0) > now)
    holds = relation.get("holder") in _holders(user) and relation.get("status", "active") == "active"
    return bool(holds or relation.get("shares", {}).get(user.uid, 0) > now)


def _holders(user: User) -> list[str]:
    """The names under which a user may be a device's holder."""
    holders = [identity.user_holder(user.uid), identity.account_holder(user.account)]
    return holders if user.customer is None else [*holders, identity.customer_holder(user.customer)]


def _reachable(address: str) -> Condition:
    return Condition(
        expression="#address = :address AND attribute_not_exists(#banned_at) AND attribute_not_exists(#inactive)",
        values={":address": address},
        otherwise=lambda device: _obstacle(device, address) or Reason.INTERNAL,
        detail={"address": address},
    )


def _obstacle(device: Item, address: str) -> Reason | None:
    """Why a device cannot be reached at an address, if so."""
    if device.get("address") != address:
        return Reason.NOT_SHARED
    if devices.banned(device):
        return Reason.DEVICE_BANNED
    return Reason.DEVICE_INACTIVE if "inactive" in device else None
