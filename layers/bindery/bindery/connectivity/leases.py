"""Connections: leases to reach a device at its service address (document 003).

A lease is valid while the binding or share that it depends on names it, so a write that ends the binding ends its
leases. It names an assignment of the address and a generation of its caller, so lifting a ban, assigning the address
again or enabling the user does not revive it. The relay calls `admit` for each client, and `readmit` while it lasts.

Clients find it by its label: the first part of a host name, or a port of the relay host.
"""

import hmac
import secrets
import string
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Batch, Check, CursorPage, Delete, Read, Table, Update
from bindery.aws.expressions import Condition, Path, above, absent, equals, exists, fewer, one_of
from bindery.connectivity import access, presence
from bindery.connectivity.service_addresses import Assigned
from bindery.core import clock, env
from bindery.core.errors import Reason, Refused
from bindery.directory import users
from bindery.directory.users import User
from bindery.registry import bindings, identity, items
from bindery.security.secrets import fingerprint

ANY_CLIENT = "0.0.0.0"  # noqa: S104 (not an address to listen on: the document's value for any client)
FIRST_CLIENT = "255.255.255.255"
"""Reserves a connection for its first client."""

RELAY_PORT = "port#"
"""Prefix of the label of a lease at a port of the relay host. No host name has it."""

CALLER_LIMIT = 50
"""Callers that a binding names: a few kilobytes in each write."""

# Some clients search the response for a host name that begins with this.
_LABEL_PREFIX = "proxy"
_LABEL_LENGTH = 16
_PORT_ATTEMPTS = 4
"""Ports that are tried before one is shared, which works unless both leases have the same client."""
_HTTP = (None, "http", "https")
"""Types of services that clients reach at a host name."""
_BATCH = 25
"""Leases per round trip, with four items each."""
_SAME_LABEL = 16
"""Leases with one label that `admit` reads, with six items each."""


class Connection(NamedTuple):
    """A lease. `expires_at` is in seconds, `created_at` in milliseconds."""

    id: str
    device: str
    address: str
    label: str
    expires_at: int
    created_at: int

    def proxy(self) -> str:
        """Return the URL at which the client reaches the service."""
        if self.label.startswith(RELAY_PORT):
            host, _, _ = env.read("RELAY_HOST").partition(":")
            return f"http://{host}:{self.label.removeprefix(RELAY_PORT)}"
        scheme, _, domain = env.read("PROXY_URL").partition("://")
        return f"{scheme}://{self.label}.{domain}"

    def server(self) -> tuple[str, int]:
        """Return host and port of `proxy`."""
        url = urlsplit(self.proxy())
        return url.hostname or "", url.port or {"http": 80, "https": 443}[url.scheme]

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
        label=_label(user, address, assigned),
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
            "kind": assigned.kind,
            "client_ip": identity.ip_address(client_ip) or client_ip,
            "label": connection.label,
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


class Admitted(NamedTuple):
    """A client's access to a device's service, as of now."""

    lease: items.Connection
    link: str | None
    """API Gateway's id of the device's connection, or None if it is offline."""


def admit(label: str, client_ip: str | None, connection: str | None = None) -> Admitted:
    """Return the access that a client (None: any) has at a label, to a connection if its id is given.

    Raises `NOT_FOUND` (also if two have this label), `ACCESS_DENIED` (another client), `NOT_SHARED`, `DEVICE_BANNED`
    and `DEVICE_INACTIVE`.
    """
    now = clock.seconds()
    listed = [lease for lease in dynamodb.query(items.connections_with_label(label)) if lease["expires_at"] > now]
    del listed[_SAME_LABEL:]
    found = dynamodb.get_many([read for lease in listed for read in _admission(lease)]) if listed else None
    leases = [found[items.key_of(Table.BINDINGS, lease)] for lease in listed] if found else []
    # The index may still list a lease that had this label.
    live = [lease for lease in leases if lease is not None and lease["label"] == label]
    if connection is not None:
        live = [lease for lease in live if hmac.compare_digest(lease["connection"], connection)]
    if found is None or not live:
        raise Refused(Reason.NOT_FOUND)
    client = None if client_ip is None else identity.ip_address(client_ip) or ""
    if label.startswith(RELAY_PORT):
        # Unlike host names, ports are shared by several clients.
        live = [lease for lease in live if _is_for(client, lease)]
    if not any(_is_for(client, lease) for lease in live):
        raise Refused(Reason.ACCESS_DENIED)
    lease = _only_valid(live, found)
    if not _is_for(client, lease):
        raise Refused(Reason.ACCESS_DENIED)
    if client is not None and lease["client_ip"] == FIRST_CLIENT:
        _reserve_for(client, lease)
    return Admitted(lease, _link(lease, found))


def readmit(lease: items.Connection) -> Admitted:
    """Return a lease's access again. `lease` needs only its key, id, caller, account and `per_user`.

    Raises `NOT_FOUND` (it has ended), `NOT_SHARED`, `DEVICE_BANNED` and `DEVICE_INACTIVE`.
    """
    found = dynamodb.get_many(_admission(lease))
    now = found[items.key_of(Table.BINDINGS, lease)]
    if now is None or now["expires_at"] <= clock.seconds():
        raise Refused(Reason.NOT_FOUND)
    if not hmac.compare_digest(now["connection"], lease["connection"]):
        raise Refused(Reason.NOT_FOUND)
    if (obstacle := _obstacle(now, found)) is not None:
        raise Refused(obstacle)
    return Admitted(now, _link(now, found))


def still_valid(lease: items.Connection) -> list[Check]:
    """Return conditions: the binding names the lease, and the device can be reached.

    They raise `NOT_FOUND`, or else `access.reachable`'s reasons.
    """
    caller = users.pseudonym(lease["caller"], lease)
    named = equals(("leases", caller, "id"), lease["connection"]).raises(Reason.NOT_FOUND)
    return [
        access.relation(lease["pk"], lease["caller"], lease["per_user"]).check(named),
        items.device(lease["pk"]).check(access.reachable(lease["address"], lease["assignment"])),
    ]


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


def _is_for(client: str | None, lease: items.Connection) -> bool:
    return client is None or (client != "" and lease["client_ip"] in (ANY_CLIENT, FIRST_CLIENT, client))


def _only_valid(leases: list[items.Connection], found: Batch) -> items.Connection:
    """Return the only valid lease. Raises the first's obstacle, or `NOT_FOUND`."""
    obstacles = [_obstacle(lease, found) for lease in leases]
    valid = [lease for lease, obstacle in zip(leases, obstacles, strict=True) if obstacle is None]
    # A client of one connection must not reach the device of another.
    if len(valid) != 1:
        raise Refused(obstacles[0] or Reason.NOT_FOUND)
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


def _admission(lease: items.Connection) -> list[Read]:
    """Return what `admit` reads of a lease that the index lists."""
    return [
        Read(items.key_of(Table.BINDINGS, lease)),
        *_dependencies(lease),
        Read(items.presence(lease["pk"])),
    ]


def _link(lease: items.Connection, found: Batch) -> str | None:
    """Return the device's connection, if it is under the binding that the lease depends on."""
    relation = found[access.relation(lease["pk"], lease["caller"], lease["per_user"])] or {}
    last = presence.under(
        found[items.presence(lease["pk"])], None if lease["per_user"] else relation.get("binding", "")
    )
    return last["connection"] if last is not None and presence.is_online(last) else None


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


def _label(user: User, address: str, assigned: Assigned) -> str:
    """Return a port of the relay host, if there is one, for a service other than HTTP, or else part of a host name."""
    if assigned.kind not in _HTTP and (ports := _relay_ports()) is not None:
        return _free_port(ports, address, (assigned.device, user.uid))
    return _LABEL_PREFIX + "".join(secrets.choice(string.ascii_lowercase) for _ in range(_LABEL_LENGTH))


def _relay_ports() -> range | None:
    """Return the ports of the relay host, if there is one."""
    first, _, last = env.read("RELAY_HOST").partition(":")[2].partition("-")
    return range(int(first), int(last) + 1) if last else None


def _free_port(ports: range, address: str, own: tuple[str, str]) -> str:
    """Return the label of an address's own port, or of a random one if another lease uses it."""
    # Not the lowest free one: a client that comes late to a port would often reach another lease's device there.
    preferred = ports[int(fingerprint(address)[:8], 16) % len(ports)]
    for port in (preferred, *(secrets.choice(ports) for _ in range(_PORT_ATTEMPTS - 1))):
        label, now = f"{RELAY_PORT}{port}", clock.seconds()
        leases = dynamodb.query(items.connections_with_label(label))
        if all(lease["expires_at"] <= now or (lease["pk"], lease["caller"]) == own for lease in leases):
            return label
    return f"{RELAY_PORT}{preferred}"


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
