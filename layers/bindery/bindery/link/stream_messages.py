"""Messages of streams, from devices to clients and from clients to devices.

A device's go to the relay, which reads them from a table, or to the client of a tunnel. Access is checked for each
message of a tunnel; for those to the relay, by the relay.
"""

import base64
from collections.abc import Mapping
from time import sleep
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from bindery.aws import links
from bindery.connectivity import frames, presence, streams, tunnels
from bindery.connectivity.device_connections import Link
from bindery.connectivity.leases import Admitted
from bindery.connectivity.tunnels import Tunnel
from bindery.core.errors import Reason, Refused
from bindery.link.events import Event

FRAME_LIMIT = 90 * 1024
"""Bytes of a frame."""
_PAUSES = (0.05, 0.1, 0.2, 0.4)
"""Seconds to wait for a receiver whose buffer is full."""
_NUMBER_LIMIT = 10**8
"""Frames of a stream: nine terabytes."""

_Number = Annotated[int, Field(ge=0, lt=_NUMBER_LIMIT)]
_Window = Annotated[int, Field(ge=0, le=1024)]


class Message(BaseModel):
    """A message of a stream `s`."""

    model_config = ConfigDict(strict=True)

    type: str
    s: Annotated[str, StringConstraints(max_length=200)]


class Data(Message):
    """A frame: number, content in base64, and what has arrived of the other direction."""

    type: Literal["open", "data"]
    n: _Number
    d: Annotated[str, StringConstraints(max_length=FRAME_LIMIT * 4 // 3)] = ""
    fin: bool = False
    ack: _Number | None = None
    window: _Window | None = None
    svc: Annotated[str, StringConstraints(max_length=32)] = ""
    acks: bool = False

    @field_validator("d")
    @classmethod
    def _is_base64(cls, d: str) -> str:
        base64.b64decode(d, validate=True)
        return d


class Ack(Message):
    """All frames before `n` have arrived; frames before `n + window` may follow."""

    n: _Number
    window: _Window


class Need(Message):
    """Frames from a number on are missing, except those in `have`."""

    model_config = ConfigDict(strict=True, serialize_by_alias=True)

    start: Annotated[_Number, Field(alias="from")]
    have: Annotated[list[_Number], Field(alias="not", max_length=64)] = []
    window: _Window | None = None


class Still(Message):
    """The stream is alive."""


class Reset(Message):
    """The stream has ended."""

    why: Annotated[str, StringConstraints(max_length=32)] = ""


KINDS: Mapping[str, type[Message]] = {
    "open": Data,
    "data": Data,
    "ack": Ack,
    "need": Need,
    "still": Still,
    "reset": Reset,
}


def from_device(link: Link, message: Message, _: Event) -> None:
    """Pass a device's message on. Ends a stream that the device may not use."""
    try:
        stream = streams.at_device(link.device, message.s)
        if stream.session:
            _to_client(tunnels.find(link.device, stream.session), stream.name, message)
        elif isinstance(message, Data):
            frames.put(stream.name, message.n, message.d, message.fin)
        else:
            frames.put_signal(stream.name, message.type, _content(message))
    except Refused as refused:
        if refused.reason in (Reason.UNAVAILABLE, Reason.CONFLICT):
            raise
        if not isinstance(message, Reset):
            _reset(link.connection, message.s, "unknown" if refused.reason is Reason.NOT_FOUND else "ended")


def from_client(tunnel: Tunnel, message: Message) -> None:
    """Pass a tunnel's message on. Raises `INVALID`, and the reasons of `Tunnel.admit`."""
    stream = tunnel.stream(message.s)
    try:
        admitted = tunnel.admit()
    except Refused as refused:
        if refused.reason is not Reason.UNAVAILABLE and (last := presence.find(tunnel.device)) is not None:
            _reset(last["connection"], stream.id, "ended")
        raise
    passed = {"type": message.type, **_content(message), "s": stream.id}
    if isinstance(message, Data) and message.type == "open":
        service = _service(admitted, message.svc)
        if service is None:
            _reset(tunnel.connection, message.s, "unknown-service")
            return
        passed |= {"svc": service, "acks": True}
    sent = admitted.link is not None and _pass_on(admitted.link, passed)
    # Later messages are repeated until the device is back.
    if not sent and message.type == "open":
        _reset(tunnel.connection, message.s, "offline")


def _to_client(tunnel: Tunnel, name: str, message: Message) -> None:
    try:
        tunnel.admit()
    except Refused as refused:
        if refused.reason is not Reason.UNAVAILABLE:
            links.send(tunnel.connection, {"type": "bye", "why": "ended", "after": 0})
            links.close(tunnel.connection)
            raise Refused(Reason.ACCESS_DENIED) from refused
        raise
    # False: the client is not connected just now. Messages of tunnels are repeated.
    _pass_on(tunnel.connection, {"type": message.type, **_content(message), "s": name})


def _pass_on(connection: str, message: Mapping[str, Any]) -> bool:
    """Send a message of a tunnel, unless the receiver is too slow. Return False if the connection does not exist."""
    for pause in _PAUSES:
        try:
            return links.send(connection, message)
        except links.Busy:
            sleep(pause)
    # The sender repeats it, more slowly.
    return True


def _service(admitted: Admitted, asked: str) -> str | None:
    """Return the service that a stream opens: the address's own, or at an untyped address, the one asked for."""
    kind = admitted.lease["kind"]
    if kind is None:
        return asked or None
    return kind if asked in ("", kind) else None


def _content(message: Message) -> dict[str, Any]:
    return message.model_dump(exclude={"type", "s"}, exclude_unset=True)


def _reset(connection: str, stream: str, why: str) -> None:
    links.send(connection, {"type": "reset", "s": stream, "why": why})
