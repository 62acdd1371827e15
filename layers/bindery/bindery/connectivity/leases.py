"""Connections: leases to reach a device at its service address (document 003).

A lease is valid while the binding or share that it depends on names it, so a write that ends the binding ends its
leases. It names an assignment of the address and a generation of its caller, so lifting a ban, assigning the address
again or enabling the user does not revive it. The relay calls `authorize_client` for each client.
"""

import secrets
import string
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Batch, CursorPage, Delete, Read, Table, Update
from bindery.aws.expressions import Condition, Path, above, absent, equals, exists, fewer, one_of
from bindery.connectivity import access
from bindery.connectivity.service_addresses import Assigned
from bindery.core import clock, env
from bindery.core.errors import Reason, Refused
from bindery.directory import users
from bindery.directory.users import User
from bindery.registry import bindings, identity, items

ANY_CLIENT = "0.0.0.0"  # noqa: S104 (not an address to listen on: the document's value for any client)
FIRST_CLIENT = "255.255.255.255"
"""Reserves a connection for its first client."""

CALLER_LIMIT = 50
"""Callers that a binding names: a few kilobytes in each write."""

# Some clients search the response for a host name that begins with this.
_LABEL_PREFIX = "proxy"
_LABEL_LENGTH = 16
_BATCH = 25
"""Leases per round trip, with four items each."""


class Connection(NamedTuple):
    """A lease. `proxy` is its label; `expires_at` is in seconds, `created_at` in milliseconds."""

    id: str
    device: str
    address: str
    proxy: str
    expires_at: int
    created_at: int

    def server(self) -> str:
        """Return the relay's host name for this connection."""
        return f"{self.proxy}.{env.read('PROXY_DOMAIN')}"

    def seconds_left(self) -> int:
        """Return the remaining seconds."""
        return self.expires_at - clock.seconds()


def connect(
    user: User, address: str, assigned: Assigned | None, client_ip: str, *, used: Update | None = None
) -> Connection:
    """Open a connection to the device at a service address, ending the user's previous one.

    `client_ip` can be `ANY_CLIENT` or `FIRST_CLIENT`. `used` is written in the same transaction. If the binding names
    `CALLER_LIMIT` others, a second one makes room. Raises `NOT_SHARED`, `DEVICE_BANNED`, `DEVICE_INACTIVE` and
    `CONFLICT`.
    """
    assigned = assigned or Assigned.nowhere(user.uid)
    device, now = assigned.device, clock.now()
    connection = Connection(
        id=str(uuid.uuid4()).upper(),
        device=device,
        address=address,
        proxy=_LABEL_PREFIX + "".join(secrets.choice(string.ascii_lowercase) for _ in range(_LABEL_LENGTH)),
        expires_at=now // 1000 + int(env.read("LEASE_SECONDS")),
        created_at=now,
    )
    reachable = items.device(device).check(access.reachable(address, assigned.assignment))
    lease = items.connection(device, user.uid).put(
        {
            "holder": identity.caller_holder(user.uid),
            "holder_sort": bindings.holder_sort("remoteit", now),
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
            "created_at": connection.created_at,
        }
    )
    naming = _Naming(user, assigned.per_user, connection, now // 1000)
    try:
        dynamodb.transact([naming.add(), reachable, lease], aside=used)
    except Refused as refused:
        if refused.reason is not Reason.LIMIT_REACHED:
            raise
        dynamodb.transact([naming.replace(), reachable, lease], aside=used)
    return connection


def authorize_client(label: str, client_ip: str) -> Connection:
    """Return the connection that a client may use at `label`.

    Raises `NOT_FOUND` (also if two have this label), `ACCESS_DENIED`, `NOT_SHARED`, `DEVICE_BANNED` and
    `DEVICE_INACTIVE`.
    """
    leases = _live(label)
    client = identity.ip_address(client_ip)
    if client is None or not any(_is_for(client, lease) for lease in leases):
        raise Refused(Reason.ACCESS_DENIED)
    lease = _only_valid(leases)
    if not _is_for(client, lease):
        raise Refused(Reason.ACCESS_DENIED)
    if lease["client_ip"] == FIRST_CLIENT:
        _reserve_for(client, lease)
    return Connection(
        lease["connection"], lease["pk"], lease["address"], label, lease["expires_at"], lease["created_at"]
    )


def list_live(
    limit: int, cursor: str | None, *, device: str | None = None, caller: str | None = None
) -> CursorPage[items.Connection]:
    """Return a page, possibly a short one, of the valid leases of a device or caller.

    Raises `INVALID` unless exactly one is specified.
    """
    if (device is None) == (caller is None):
        raise Refused(Reason.INVALID, detail="Give either device or caller.")
    partition = items.connections_of(caller or "") if device is None else items.connections(device)
    found = dynamodb.page(partition, limit, cursor)
    now = clock.seconds()
    unexpired = [lease for lease in found.items if lease["expires_at"] > now]
    return CursorPage([lease for lease, obstacle in _obstacles(unexpired) if obstacle is None], found.cursor)


def stop(device: str, uid: str) -> None:
    """End a user's connection to a device. Raises `NOT_FOUND`."""
    lease = dynamodb.get(items.connection(device, uid))
    if lease is None:
        raise Refused(Reason.NOT_FOUND)
    caller = users.pseudonym(uid, lease)
    live = above(("leases", caller, "until"), clock.seconds())
    # A transaction, because its idempotency token makes a retry after a lost response succeed.
    dynamodb.transact(_end(device, uid, caller, lease["per_user"], live))


def stop_one(user: User, assigned: Assigned | None, connection: str) -> None:
    """`stop` a connection by its id."""
    assigned, caller = assigned or Assigned.nowhere(user.uid), user.pseudonym
    live = above(("leases", caller, "until"), clock.seconds()) & equals(("leases", caller, "id"), connection)
    dynamodb.transact(_end(assigned.device, user.uid, caller, assigned.per_user, live))


def delete_lease(lease: items.Connection) -> None:
    """Remove a lease, live or not, from its binding too."""
    device, uid = lease["pk"], lease["caller"]
    caller = users.pseudonym(uid, lease)
    try:
        dynamodb.transact(_end(device, uid, caller, lease["per_user"], exists(("leases", caller))))
    except Refused as refused:
        if refused.reason is not Reason.NOT_FOUND:
            raise
        dynamodb.write(items.connection(device, uid).delete())


def _end(device: str, uid: str, caller: str, per_user: bool, named: Condition) -> list[Update | Delete]:
    return [
        access.relation(device, uid, per_user).update(remove=[("leases", caller)], when=named.raises(Reason.NOT_FOUND)),
        # The binding names the lease that exists: both are written together.
        items.connection(device, uid).delete(),
    ]


def _live(label: str) -> list[items.Connection]:
    """Return a label's unexpired leases. Raises `NOT_FOUND`."""
    found = dynamodb.query(items.connections_with_label(label))
    leases = [dynamodb.get(items.key_of(Table.BINDINGS, keys)) for keys in found]
    now = clock.seconds()
    # The index may still list a lease that had this label.
    live = [lease for lease in leases if lease is not None and lease["proxy"] == label and lease["expires_at"] > now]
    if not live:
        raise Refused(Reason.NOT_FOUND)
    return live


def _is_for(client: str, lease: items.Connection) -> bool:
    return lease["client_ip"] in (ANY_CLIENT, FIRST_CLIENT, client)


def _only_valid(leases: list[items.Connection]) -> items.Connection:
    """Return the only valid lease. Raises the first's obstacle, or `NOT_FOUND`."""
    judged = list(_obstacles(leases))
    valid = [lease for lease, obstacle in judged if obstacle is None]
    # A client of one connection must not reach the device of another.
    if len(valid) != 1:
        raise Refused(judged[0][1] or Reason.NOT_FOUND)
    return valid[0]


def _obstacles(leases: Sequence[items.Connection]) -> Iterator[tuple[items.Connection, Reason | None]]:
    for start in range(0, len(leases), _BATCH):
        batch = leases[start : start + _BATCH]
        found = dynamodb.get_many([read for lease in batch for read in _dependencies(lease)])
        for lease in batch:
            yield lease, _obstacle(lease, found)


def _dependencies(lease: items.Connection) -> list[Read]:
    return [
        Read(access.relation(lease["pk"], lease["caller"], lease["per_user"])),
        Read(items.device(lease["pk"])),
        Read(items.user(lease["caller"])),
        Read(items.account(lease["account"])),
    ]


def _obstacle(lease: items.Connection, found: Batch) -> Reason | None:
    user, account = found[items.user(lease["caller"])], found[items.account(lease["account"])]
    if user is None or account is None or not user["enabled"] or not account["enabled"]:
        return Reason.NOT_SHARED
    relation = found[access.relation(lease["pk"], lease["caller"], lease["per_user"])]
    caller = users.from_items(user, account)
    if relation is None or not access.is_related(caller, lease["per_user"], relation, clock.seconds()):
        return Reason.NOT_SHARED
    if not _names(relation, lease) or lease["generation"] != caller.lease_generation:
        return Reason.NOT_FOUND
    device = found[items.device(lease["pk"])]
    if (obstacle := access.obstacle(device or {}, lease["address"])) is not None:
        return obstacle
    assignment = None if device is None else device["services"][lease["address"]]["assignment"]
    return None if assignment == lease["assignment"] else Reason.NOT_FOUND


def _reserve_for(client: str, lease: items.Connection) -> None:
    connection = lease["connection"]
    unclaimed = equals("connection", connection) & one_of("client_ip", [FIRST_CLIENT, client])
    dynamodb.write(
        items.key_of(Table.BINDINGS, lease).update(
            set={"client_ip": client},
            when=unclaimed.raises(
                lambda found: Reason.ACCESS_DENIED if found.get("connection") == connection else Reason.NOT_FOUND
            ),
        )
    )


def _names(relation: items.Binding, lease: items.Connection) -> bool:
    named = relation.get("leases", {}).get(users.pseudonym(lease["caller"], lease))
    return named is not None and named["id"] == lease["connection"]


class _Naming:
    def __init__(self, user: User, per_user: bool, made: Connection, now: int) -> None:
        self.user, self.per_user, self.made, self.now = user, per_user, made, now
        self.path: Path = ("leases", user.pseudonym)
        self.named: items.Lease = {"id": made.id, "until": made.expires_at}
        self.found: Mapping[str, Any] = {}

    def add(self) -> Update:
        """Add it. The write raises `LIMIT_REACHED` without room or without `leases`."""
        room = exists("leases") & (exists(self.path) | fewer("leases", CALLER_LIMIT))
        return self._update(
            members={("leases", self.user.pseudonym): self.named}, when=room, raises=Reason.LIMIT_REACHED
        )

    def replace(self) -> Update:
        """Replace expired leases, or else the first to expire. Raises `CONFLICT`."""
        before: dict[str, items.Lease] | None = self.found.get("leases")
        lasting = {caller: lease for caller, lease in (before or {}).items() if lease["until"] > self.now}
        if len(lasting) >= CALLER_LIMIT:
            del lasting[min(lasting, key=lambda caller: lasting[caller]["until"])]
        unchanged = absent("leases") if before is None else equals("leases", before)
        after: items.Binding = {"leases": lasting | {self.user.pseudonym: self.named}}
        return self._update(set=after, when=unchanged, raises=Reason.CONFLICT)

    def _update(self, *, when: Condition, raises: Reason, **changes: Any) -> Update:
        def verdict(relation: dict[str, Any]) -> Reason:
            self.found = relation
            if not access.is_related(self.user, self.per_user, relation, self.now):
                return Reason.NOT_SHARED
            return raises

        related = access.related(self.user, self.per_user, self.now)
        relation = access.relation(self.made.device, self.user.uid, self.per_user)
        return relation.update(**changes, when=(related & when).raises(verdict, address=self.made.address))
