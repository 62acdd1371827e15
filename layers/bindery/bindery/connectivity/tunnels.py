"""Tunnels: connections over which a lease's client opens streams to the device.

A tunnel has a session, which stays the same when its connection is replaced, so that its streams survive that.
"""

import re
from typing import NamedTuple, Self

from bindery.aws import dynamodb, links
from bindery.aws.expressions import absent, equals
from bindery.connectivity import leases, streams
from bindery.connectivity.leases import RELAY_PORT, Admitted
from bindery.core.errors import Reason, Refused
from bindery.directory import key_guesses
from bindery.registry import identity, items

_CREDENTIAL = re.compile(r"(proxy[a-z]{16}|port#[0-9]{1,5})\.([0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12})")
_NAME = re.compile("[0-9a-f]{32}")
_ATTEMPTS = 5
"""Attempts to connect a session that connects elsewhere at the same time."""
_NO_ACCESS = (Reason.ACCESS_DENIED, Reason.NOT_SHARED, Reason.DEVICE_BANNED, Reason.DEVICE_INACTIVE)


class Tunnel(NamedTuple):
    """A client's connection at a lease."""

    connection: str
    """API Gateway's id."""
    device: str
    session: str
    lease: str
    """The lease's id."""
    caller: str
    account: str
    per_user: bool
    ends: int
    """End of the lease, in seconds."""

    @classmethod
    def from_item(cls, session: str, item: items.Tunnel) -> Self:
        """Return the tunnel of a session."""
        return cls(
            item["connection"],
            item["pk"],
            session,
            item["lease"],
            item["caller"],
            item["account"],
            item["per_user"],
            item["expires_at"],
        )

    def admit(self) -> Admitted:
        """Return the tunnel's access as of now. Raises `NOT_FOUND` and `leases.readmit`'s other reasons."""
        known: items.Connection = {
            **items.connection(self.device, self.caller).attributes(),  # type: ignore[typeddict-item]
            "connection": self.lease,
            "caller": self.caller,
            "account": self.account,
            "per_user": self.per_user,
        }
        return leases.readmit(known)

    def stream(self, name: str) -> streams.Stream:
        """Return the stream of a client's name for it. Raises `INVALID`."""
        if _NAME.fullmatch(name) is None:
            raise Refused(Reason.INVALID)
        return streams.Stream(self.device, self.session, name, self.ends)


def is_credential(credential: str) -> bool:
    """Return True if a credential has the form of a tunnel's: label and id of a lease."""
    return _CREDENTIAL.fullmatch(credential) is not None


def connect(credential: str, session: str, connection: str, source_ip: str) -> Tunnel:
    """Connect a tunnel, ending the session's earlier connection.

    Raises `KEY_UNKNOWN`, `KEY_THROTTLED`, `INVALID` (the session), `CONFLICT` and the reasons of `leases.admit`.
    """
    given = _CREDENTIAL.fullmatch(credential)
    if given is None or _NAME.fullmatch(session) is None:
        raise Refused(Reason.INVALID)
    label, lease_id = given.groups()
    for attempt in range(_ATTEMPTS):
        try:
            # The relay host has checked its client, whose address is not that of the tunnel.
            lease = leases.admit(label, None if label.startswith(RELAY_PORT) else source_ip, lease_id).lease
            return _connect(lease, session, connection)
        except Refused as refused:
            if refused.reason is Reason.NOT_FOUND:
                key_guesses.refuse("label", source_ip)
            if refused.reason is not Reason.CONFLICT or attempt + 1 == _ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def _connect(lease: items.Connection, session: str, connection: str) -> Tunnel:
    key = items.tunnel(lease["pk"], session)
    last = dynamodb.get(key)
    if last is not None and last["lease"] != lease["connection"]:
        raise Refused(Reason.INVALID)
    same = absent() if last is None else equals("connection", last["connection"])
    written: items.Tunnel = {
        "holder": identity.tunnel_holder(lease["caller"]),
        "holder_sort": session,
        "lease": lease["connection"],
        "caller": lease["caller"],
        "account": lease["account"],
        "per_user": lease["per_user"],
        "connection": connection,
        "expires_at": lease["expires_at"],
    }
    # An acknowledged ban or stop holds for a tunnel that connects at the same time.
    dynamodb.transact([*leases.still_valid(lease), key.put(written, when=same.raises(Reason.CONFLICT))])
    if last is not None and last["connection"] != connection:
        links.close(last["connection"])
    return Tunnel.from_item(session, {**written, "pk": lease["pk"]})


def at_port(port: int, client_ip: str) -> items.Connection:
    """Return the lease of a client at a port of the relay host. Raises `NOT_FOUND` if the client has none."""
    try:
        return leases.admit(f"{RELAY_PORT}{port}", client_ip).lease
    except Refused as refused:
        raise Refused(Reason.NOT_FOUND if refused.reason in _NO_ACCESS else refused.reason) from refused


def find(device: str, session: str) -> Tunnel:
    """Return a session's tunnel. Raises `NOT_FOUND`."""
    found = dynamodb.get(items.tunnel(device, session))
    if found is None:
        raise Refused(Reason.NOT_FOUND)
    return Tunnel.from_item(session, found)
