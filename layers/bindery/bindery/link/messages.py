"""Messages from devices, each an invocation of its own: they arrive in any order, and possibly twice."""

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from bindery.aws import links
from bindery.connectivity import device_connections, device_reports, presence
from bindery.connectivity.device_connections import Link
from bindery.connectivity.tunnels import Tunnel
from bindery.core.errors import Reason, Refused
from bindery.link import events, stream_messages
from bindery.link.events import Event

HEARTBEAT = 540
"""Seconds between a device's pings, less than the ten minutes after which API Gateway ends an idle connection."""

_BYES = {
    Reason.INVALID: ("invalid", 60),
    Reason.NOT_FOUND: ("replaced", device_connections.RETRY_AFTER),
    Reason.DEVICE_NOT_BOUND: ("unbound", device_connections.RETRY_AFTER),
    Reason.DEVICE_BANNED: ("banned", device_connections.RETRY_AFTER),
    Reason.ACCESS_DENIED: ("disabled", device_connections.RETRY_AFTER),
}
"""Why a connection ends, and after how many seconds the device may connect again."""

_REFUSALS = {
    # Also for a throttled item of one device, which only that device's messages cause.
    Reason.CONFLICT: "too many messages at once: send it again later",
    Reason.PRODUCT_UNKNOWN: "only devices with a product report values",
    Reason.LIMIT_REACHED: f"more than {device_reports.CODE_LIMIT} values, or {device_reports.SIZE_LIMIT // 1024} KiB",
}
"""Why a message has no effect. The connection stays."""

_SERVICE = "[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?"


Parsed = TypeVar("Parsed", bound=BaseModel)


class Message(BaseModel):
    """A message from a device."""

    model_config = ConfigDict(strict=True)


class Hello(Message):
    """The first message of a connection."""

    # Not Literal: that accepts true.
    v: Annotated[int, Field(ge=1, le=1)]
    services: list[Annotated[str, StringConstraints(pattern=f"^{_SERVICE}$")]] = Field(default=[], max_length=16)
    internal_ip: Annotated[str, StringConstraints(max_length=45)] | None = None


class Report(Message):
    """Values of properties, by their codes."""

    values: dict[Annotated[str, StringConstraints(min_length=1, max_length=64)], Any] = Field(
        min_length=1, max_length=device_reports.REPORT_LIMIT
    )
    n: Annotated[int, Field(ge=0)] = 0
    """Number of the report: of two that arrive in the same millisecond, the higher one is later."""

    @field_validator("values")
    @classmethod
    def _can_be_stored(cls, values: dict[str, Any]) -> dict[str, Any]:
        # Raises an error for a lone surrogate and for a number that is not JSON.
        json.dumps(values, ensure_ascii=False, allow_nan=False).encode()
        return values


class Result(Message):
    """A command's outcome."""

    # As the server makes them: they are logged.
    id: Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")]
    ok: bool


def receive(event: Event) -> dict[str, Any]:
    """Answer a message. One that is not valid ends the connection."""
    if (tunnel := events.tunnel(event)) is not None:
        return events.handle("link.message", event, lambda: _carry(tunnel, event), lambda reason: _end(tunnel, reason))
    link = events.link(event)
    return events.handle("link.message", event, lambda: _answer(link, event), lambda reason: _refuse(link, reason))


def _answer(link: Link, event: Event) -> dict[str, Any]:
    kind, given = _parse(event.get("body") or "")
    if kind not in _KINDS:
        _tell(link, {"type": "refused", "why": f"unknown type: {kind[:32]}"})
        return _DONE
    model, act = _KINDS[kind]
    act(link, _validated(model, given), event["requestContext"])
    return events.PASSED if kind in stream_messages.KINDS else _DONE


def _refuse(link: Link, reason: Reason) -> dict[str, Any]:
    if reason in _REFUSALS:
        _tell(link, {"type": "refused", "why": _REFUSALS[reason]})
        return _DONE
    why, after = _BYES[reason]
    _tell(link, {"type": "bye", "why": why, "after": after})
    links.close(link.connection)
    return _DONE


def _carry(tunnel: Tunnel, event: Event) -> dict[str, Any]:
    """Answer a message of a tunnel's client, or pass it on."""
    kind, given = _parse(event.get("body") or "")
    if kind in stream_messages.KINDS:
        stream_messages.from_client(tunnel, _validated(stream_messages.KINDS[kind], given))
        return events.PASSED
    if kind == "hello":
        tunnel.admit()
        until = event["requestContext"]["connectedAt"] + presence.LIFETIME * 1000
        links.send(tunnel.connection, {"type": "welcome", "until": until, "heartbeat": HEARTBEAT})
    else:
        links.send(tunnel.connection, {"type": "refused", "why": f"unknown type: {kind[:32]}"})
    return _DONE


def _end(tunnel: Tunnel, reason: Reason) -> dict[str, Any]:
    why = "invalid" if reason is Reason.INVALID else "ended"
    links.send(tunnel.connection, {"type": "bye", "why": why, "after": 0})
    links.close(tunnel.connection)
    return _DONE


def _validated(model: type[Parsed], given: dict[str, Any]) -> Parsed:
    """Return a message. Raises `INVALID`."""
    try:
        return model.model_validate(given)
    except (ValidationError, RecursionError) as error:
        raise Refused(Reason.INVALID) from error


def _parse(body: str) -> tuple[str, dict[str, Any]]:
    """Return the type of a message, and the message. Raises `INVALID`."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(Reason.INVALID) from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise Refused(Reason.INVALID)
    return message["type"], message


def _tell(link: Link, message: Mapping[str, Any]) -> None:
    # False: the device is gone, and reads no answer.
    links.send(link.connection, message)


def _welcome(link: Link, _: Message, __: Event) -> None:
    device_connections.check(link)
    until = link.connected_at + presence.LIFETIME * 1000
    _tell(link, {"type": "welcome", "until": until, "heartbeat": HEARTBEAT})


def _record(link: Link, report: Report, context: Event) -> None:
    unfit = device_reports.record(link, report.values, context["requestTimeEpoch"], report.n)
    if unfit:
        why = f"not in the product's TSL, or not with such a value: {', '.join(unfit)}"
        _tell(link, {"type": "refused", "why": why[:1000]})


def _note(link: Link, result: Result, context: Event) -> None:
    device_connections.check(link)
    events.log_result(context["requestId"], result.id, result.ok)


_DONE: dict[str, Any] = {"statusCode": 200}
_KINDS: Mapping[str, tuple[type[BaseModel], Callable[[Link, Any, Event], None]]] = {
    "hello": (Hello, _welcome),
    "report": (Report, _record),
    "result": (Result, _note),
    **{name: (model, stream_messages.from_device) for name, model in stream_messages.KINDS.items() if name != "open"},
}
