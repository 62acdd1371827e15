"""Connections: leases to reach a device at its service address (document 003).

The relay that serves the proxy domain asks `admit` before it lets a client through. A lease ends when its time is over,
when its caller connects again or stops it, and as soon as the caller may not reach the device any more: that is looked
up whenever a client comes, so that nothing has to be cleaned up when a binding, a share or a user ends.

A lease is good only while the binding that it rests on names it (`connected`: of each caller, by their pseudonym, the
id of the one lease that lasts, and the second at which it ends). So whoever ends or replaces a binding ends its leases
in the same write, for good: they do not come back when the same holder binds the device again. Nor do they come back
with a ban that is lifted, an address that is given back or a user who is enabled again: a lease names the assignment of
the address (`bindery.connectivity.service_addresses`) and the generation of its caller
(`users.lease_generation`) under which it was made, and is valid only under these.
"""

import secrets
import string
import uuid
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Check, Condition, Delete, Item, Key, Page, Put, Read, Table, Update
from bindery.connectivity import access
from bindery.connectivity.service_addresses import Assigned
from bindery.core import clock, env
from bindery.core.errors import Reason, Refused
from bindery.directory import accounts, users
from bindery.directory.users import User
from bindery.registry import bindings, devices, identity

ANY_CLIENT = "0.0.0.0"  # noqa: S104 (no address to listen on: the document's word for every client)
FIRST_CLIENT = "255.255.255.255"
"""Latches to the first client that comes."""

BY_PROXY = "by_proxy"
"""The index by proxy label, which holds the keys alone."""

CALLER_LIMIT = 50
"""How many callers a binding names at most: a few kilobytes, which are written again with every change of it."""

_LABEL_LENGTH = 8
_BATCH = 25
"""How many leases are judged by the records of one round trip: each rests on four."""


class Connection(NamedTuple):
    """A lease. `proxy` is its label under the proxy domain, `expires_at` the second at which it ends."""

    id: str
    device: str
    address: str
    proxy: str
    expires_at: int

    def server(self) -> str:
        """The name under which the relay serves this connection."""
        return f"{self.proxy}.{env.read('PROXY_DOMAIN')}"

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

    `client_ip`, in any spelling, is the only client that may use it, or `ANY_CLIENT`, or `FIRST_CLIENT`. What the user
    may do and how the device is are conditions of the one transaction; `used` (of the `ApiKey`) goes along with it. A
    second one makes room where the binding names `CALLER_LIMIT` others: by those whose leases have ended, or else by
    the one whose lease ends first. Raises `NOT_SHARED` (the user neither holds the device nor has a share of it, or
    there is none at this address), `DEVICE_BANNED`, `DEVICE_INACTIVE`, and `CONFLICT` (a concurrent request made room,
    or an operator assigned the address again).
    """
    assigned = assigned or _nowhere(user)
    device, now = assigned.device, clock.now()
    connection = Connection(
        id=str(uuid.uuid4()).upper(),
        device=device,
        address=address,
        proxy="".join(secrets.choice(string.ascii_lowercase) for _ in range(_LABEL_LENGTH)),
        expires_at=now // 1000 + int(env.read("LEASE_SECONDS")),
    )
    reachable = Check(devices.key(device), access.reachable(address, assigned.assignment))
    lease = Put(
        key(device, user.uid),
        {
            "holder": identity.caller_holder(user.uid),
            "since": bindings.since("remoteit", now),
            "connection": connection.id,
            "caller": user.uid,
            "account": user.account,
            "generation": user.lease_generation,
            "assignment": assigned.assignment,
            "pseudonym": user.pseudonym,
            "per_user": assigned.per_user,
            "address": address,
            "client_ip": identity.ip_address(client_ip) or client_ip,
            "proxy": connection.proxy,
            "expires_at": connection.expires_at,
            "created_at": now,
        },
    )
    naming = _Naming(user, assigned.per_user, connection, now // 1000)
    try:
        dynamodb.transact([naming.beside(), reachable, lease], aside=used)
    except Refused as fault:
        if fault.reason is not Reason.LIMIT_REACHED:
            raise
        dynamodb.transact([naming.in_place(), reachable, lease], aside=used)
    return connection


def admit(label: str, client_ip: str) -> Connection:
    """The connection that a client may use which comes to `label` under the proxy domain.

    Raises `NOT_FOUND` (no such connection, it has ended, or two have this label), `ACCESS_DENIED` (it is for another
    client), and like `connect` `NOT_SHARED`, `DEVICE_BANNED` and `DEVICE_INACTIVE` if what it rests on is no more.
    """
    leases = _live(label)
    client = identity.ip_address(client_ip)
    if client is None or not any(_is_for(client, lease) for lease in leases):
        raise Refused(Reason.ACCESS_DENIED)
    lease = _only_one_that_holds(leases)
    if not _is_for(client, lease):
        raise Refused(Reason.ACCESS_DENIED)
    if lease["client_ip"] == FIRST_CLIENT:
        _latch(_place(lease), lease["connection"], client)
    return Connection(lease["connection"], lease["pk"], lease["address"], label, lease["expires_at"])


def live(limit: int, cursor: str | None, *, device: str | None = None, caller: str | None = None) -> Page:
    """Part of the list of the live leases of a device, by caller, or of a caller (a uid), by time.

    Those to which nobody would be admitted are left out of a page, so it can hold fewer than `limit` and yet not be the
    last. A device's leases are read consistently, a caller's from an index; either way what they rest on is read
    consistently, a hundred records a round trip. Raises `INVALID`: not exactly one is given, or the cursor is none.
    """
    if (device is None) == (caller is None):
        raise Refused(Reason.INVALID, detail="Give either device or caller.")
    if device is not None:
        values = {":device": device, ":connection": key(device, "").sk}
        found = dynamodb.page(
            Table.BINDINGS, "#pk = :device AND begins_with(#sk, :connection)", values, limit=limit, cursor=cursor
        )
    else:
        values = {":holder": identity.caller_holder(caller or "")}
        found = dynamodb.page(
            Table.BINDINGS, "#holder = :holder", values, index=bindings.BY_HOLDER, limit=limit, cursor=cursor
        )
    now = clock.seconds()
    lasting = [lease for lease in found.items if lease["expires_at"] > now]
    return Page([lease for lease, obstacle in _obstacles(lasting) if obstacle is None], found.cursor)


def stop(device: str, uid: str) -> None:
    """End a user's connection to a device: nobody is admitted to it any more. Raises `NOT_FOUND`: there is no live one.

    A transaction, because its token makes a repetition after a lost answer the same success.
    """
    lease = dynamodb.get(key(device, uid))
    if lease is None:
        raise Refused(Reason.NOT_FOUND)
    named = users.pseudonym(uid, lease)
    dynamodb.transact(_ending(device, uid, named, lease["per_user"], "#connected.#caller.#until > :now", _now()))


def stop_one(user: User, assigned: Assigned | None, connection: str) -> None:
    """`stop` for the one connection of a user to the device at a service address that has this id."""
    assigned = assigned or _nowhere(user)
    live = "#connected.#caller.#until > :now AND #connected.#caller.#id = :connection"
    values = {**_now(), ":connection": connection}
    dynamodb.transact(_ending(assigned.device, user.uid, user.pseudonym, assigned.per_user, live, values))


def _nowhere(user: User) -> Assigned:
    """What stands behind an address that no device has: a write less would tell it from one that another's has."""
    return Assigned(identity.nowhere(user.uid), per_user=False, assignment="")


def delete_lease(lease: Item) -> None:
    """Remove a lease, live or not, and its caller from the binding that it rests on."""
    device, uid = lease["pk"], lease["caller"]
    named = users.pseudonym(uid, lease)
    try:
        dynamodb.transact(_ending(device, uid, named, lease["per_user"], "attribute_exists(#connected.#caller)", {}))
    except Refused as fault:
        if fault.reason is not Reason.NOT_FOUND:
            raise
        dynamodb.write(Delete(key(device, uid)))


def _ending(device: str, uid: str, pseudonym: str, per_user: bool, named: str, values: Item) -> list[Update | Delete]:
    """The writes that end a user's lease, if its binding names them as `named` says; else `NOT_FOUND`."""
    condition = Condition(expression=named, values=values, names={"caller": pseudonym}, otherwise=Reason.NOT_FOUND)
    return [
        Update(access.relation(device, uid, per_user), "REMOVE #connected.#caller", condition=condition),
        # The lease that is named is the one that stands: they are written together.
        Delete(key(device, uid)),
    ]


def _now() -> Item:
    return {":now": clock.seconds()}


def _place(lease: Item) -> Key:
    return Key(Table.BINDINGS, lease["pk"], lease["sk"])


def _live(label: str) -> list[Item]:
    """The leases that have a label now, and are not over; the index may still show one that had it.

    Raises `NOT_FOUND`: there is none. There is hardly ever a second one, as a label is one of 200,000 million.
    """
    found = dynamodb.query(Table.BINDINGS, "#proxy = :proxy", {":proxy": label}, index=BY_PROXY)
    leases = [dynamodb.get(_place(keys)) for keys in found]
    now = clock.seconds()
    live = [lease for lease in leases if lease is not None and lease["proxy"] == label and lease["expires_at"] > now]
    if not live:
        raise Refused(Reason.NOT_FOUND)
    return live


def _is_for(client: str, lease: Item) -> bool:
    """Whether a client may use a lease, as far as the lease says for whom it is."""
    return lease["client_ip"] in (ANY_CLIENT, FIRST_CLIENT, client)


def _only_one_that_holds(leases: list[Item]) -> Item:
    """The one of the live leases of a label whose caller may still reach the device, or else what obstructs the first.

    Raises `NOT_FOUND` if there are two: whoever comes for the one must not be let through to the other's device.
    """
    judged = list(_obstacles(leases))
    holding = [lease for lease, obstacle in judged if obstacle is None]
    if len(holding) != 1:
        raise Refused(judged[0][1] or Reason.NOT_FOUND)
    return holding[0]


def _obstacles(leases: Sequence[Item]) -> Iterator[tuple[Item, Reason | None]]:
    """Each of some live leases, and the reason why nobody is admitted to it, if so, as all that it rests on is now."""
    for start in range(0, len(leases), _BATCH):
        batch = leases[start : start + _BATCH]
        read = iter(dynamodb.get_many([read for lease in batch for read in _ground(lease)]))
        for lease in batch:
            yield lease, _obstacle(lease, next(read), next(read), next(read), next(read))


def _ground(lease: Item) -> list[Read]:
    """The records that a lease rests on, as `_obstacle` takes them."""
    return [
        Read(access.relation(lease["pk"], lease["caller"], lease["per_user"])),
        Read(devices.key(lease["pk"])),
        Read(users.key(lease["caller"])),
        Read(accounts.key(lease["account"])),
    ]


def _obstacle(
    lease: Item, relation: Item | None, device: Item | None, user: Item | None, account: Item | None
) -> Reason | None:
    """Why nobody is admitted to a live lease, if so, over the records that it rests on."""
    if user is None or account is None or not user["enabled"] or not account["enabled"]:
        return Reason.NOT_SHARED
    if relation is None or not access.is_related(
        users.read(user, account), lease["per_user"], relation, clock.seconds()
    ):
        return Reason.NOT_SHARED
    if not _names(relation, lease) or lease["generation"] != users.lease_generation(user, account):
        return Reason.NOT_FOUND
    if (obstacle := access.obstacle(device or {}, lease["address"])) is not None:
        return obstacle
    return None if device is not None and device["assignment"] == lease["assignment"] else Reason.NOT_FOUND


def _latch(place: Key, connection: str, client: str) -> None:
    """Make a connection the client's who comes first."""
    dynamodb.write(
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


# Whom a binding names as connected.


def _names(relation: Item, lease: Item) -> bool:
    """Whether a binding names this lease as the one of its caller that lasts."""
    named = relation.get("connected", {}).get(users.pseudonym(lease["caller"], lease))
    return named is not None and named["id"] == lease["connection"]


class _Naming:
    """The writes by which a binding names a user's new connection, under the condition that they may reach it."""

    def __init__(self, user: User, per_user: bool, made: Connection, now: int) -> None:
        self.user, self.per_user, self.made, self.now = user, per_user, made, now
        self.caller = user.pseudonym
        self.named = {"id": made.id, "until": made.expires_at}
        self.met: Item = {}

    def beside(self) -> Update:
        """Beside the others; `LIMIT_REACHED`: there is no room, or the binding has no names yet."""
        room = "attribute_exists(#connected) AND (attribute_exists(#connected.#caller) OR size(#connected) < :limit)"
        return self._update(
            "SET #connected.#caller = :named",
            {":named": self.named},
            Condition(
                expression=room,
                names={"caller": self.caller},
                values={":limit": CALLER_LIMIT},
                otherwise=Reason.LIMIT_REACHED,
            ),
        )

    def in_place(self) -> Update:
        """In place of those whose time is over, or of who would be the first; `CONFLICT`: others came between."""
        before = self.met.get("connected")
        lasting = {caller: named for caller, named in (before or {}).items() if named["until"] > self.now}
        if len(lasting) >= CALLER_LIMIT:
            del lasting[min(lasting, key=lambda caller: lasting[caller]["until"])]
        return self._update(
            "SET #connected = :after",
            {":after": lasting | {self.caller: self.named}},
            Condition(
                expression="attribute_not_exists(#connected)" if before is None else "#connected = :before",
                values={} if before is None else {":before": before},
                otherwise=Reason.CONFLICT,
            ),
        )

    def _update(self, expression: str, values: Item, condition: Condition) -> Update:
        related, names, needed = access.related(self.user, self.per_user, self.now)

        def verdict(relation: Item) -> Reason:
            self.met = relation
            if not access.is_related(self.user, self.per_user, relation, self.now):
                return Reason.NOT_SHARED
            return condition.verdict(relation).reason

        return Update(
            access.relation(self.made.device, self.user.uid, self.per_user),
            expression,
            values,
            Condition(
                expression=f"({related}) AND {condition.expression}",
                names={**names, **condition.names},
                values={**needed, **condition.values},
                otherwise=verdict,
                detail={"address": self.made.address},
            ),
        )
