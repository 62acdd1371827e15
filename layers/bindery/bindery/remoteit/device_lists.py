"""Lists of services (remoteit): the API calls a service a device."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic import BaseModel, Field

from bindery.connectivity.access import Listed
from bindery.directory.users import User
from bindery.http.messages import Reply
from bindery.registry import identity
from bindery.registry.items import ServiceKind
from bindery.remoteit import dialect


class Type(NamedTuple):
    """The vendor's number and title of a type of service, and its usual port."""

    number: int
    title: str
    port: int


UNTYPED = Type(0, "", 0)
TYPES: Mapping[ServiceKind, Type] = {
    "tcp": Type(1, "TCP", 0),
    "vnc": Type(4, "VNC", 5900),
    "rdp": Type(5, "RDP", 3389),
    "ssh": Type(28, "SSH", 22),
    "http": Type(30, "HTTP", 80),
    "https": Type(33, "HTTPS", 443),
    "samba": Type(34, "Samba", 445),
    "bulk": Type(35, "Bulk Service", 65535),
}
"""As the vendor's applications know them."""


NO_TEXT = (None,)
"""The vendor's `[null]`, in place of an address that a service does not have. Typed clients expect a list."""


class Device(BaseModel):
    """A service. Unknown members are empty."""

    deviceaddress: str
    devicealias: str
    devicestate: str
    devicetype: str
    devicelastip: str
    lastcontacted: str
    lastinternalip: str = ""
    createdate: str
    ownerusername: str
    servicetitle: str
    shared: str
    webenabled: str
    weburi: tuple[None] = NO_TEXT
    localurl: str = "bm9uZQ=="
    georegion: str = ""
    webviewerurl: tuple[None] = NO_TEXT
    scripting: bool = False
    hardwareid: str


class Devices(Reply):
    """The services. Do not cache them: access can change at any time."""

    succeeded: str = Field(default="true", serialization_alias="status")
    devices: Sequence[Device]
    cache_expires: int = 0
    length: int


def matching(listed: Sequence[Listed], name: str, state: str) -> list[Listed]:
    """Return the services in a state, or in any (`all`), whose alias contains a name in any case."""
    wanted = identity.folded(name)
    return [
        service
        for service in listed
        if state in ("all", _state(service)) and wanted in identity.folded(_alias(service))
    ]


def reply(listed: Sequence[Listed], user: User, source_ip: str) -> Devices:
    """Return a list. `source_ip` replaces the unknown address of a device that has not connected yet."""
    devices = [_device(service, user, source_ip) for service in listed]
    return Devices(devices=devices, length=len(devices))


def _device(service: Listed, user: User, source_ip: str) -> Device:
    kind = UNTYPED if service.kind is None else TYPES[service.kind]
    since = dialect.written(service.bound_at)
    return Device(
        deviceaddress=service.address,
        devicealias=_alias(service),
        devicestate=_state(service),
        devicetype=_type(kind.number, service.port or kind.port),
        devicelastip=service.ip or source_ip,
        lastcontacted=since if service.last_seen is None else dialect.written(service.last_seen),
        createdate=since,
        ownerusername="" if service.shared else user.email or user.uid,
        servicetitle=kind.title,
        shared="shared-from" if service.shared else "not-shared",
        webenabled="1" if service.kind in ("http", "https") else "0",
        hardwareid=service.hardware,
    )


def _alias(service: Listed) -> str:
    return service.alias or service.address


def _state(service: Listed) -> str:
    return "active" if service.active else "inactive"


def _type(number: int, port: int) -> str:
    """Format a type of service as 16 octets: its number in the first two, the port in octets 10 and 11."""
    octets = number.to_bytes(2) + bytes.fromhex("00000001 00000460") + port.to_bytes(2) + bytes.fromhex("00010000")
    return octets.hex(":").upper()
