"""quectel: send commands to devices. Also raises `TOKEN_INVALID` and `LOOKUP_FAILED`."""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple

from bindery.aws import dynamodb, links
from bindery.aws.dynamodb import Read
from bindery.connectivity import device_connections
from bindery.core.errors import Reason, Refused
from bindery.directory import tsl
from bindery.directory.sessions import Session
from bindery.quectel import user_devices
from bindery.registry import holdings, items

DEVICE_LIMIT = 49
"""Devices of a request: with a TSL for each, user and account, one batch."""


class Kind(IntEnum):
    """Kind of a command."""

    PASSTHROUGH = 1
    PROPERTY = 2
    SERVICE = 3


class Failure(StrEnum):
    """Reason that a device did not get a command, as the user sees it."""

    NOT_BOUND = "Device not bound"
    NOT_ACCEPTED = "Device control command does not match the TSL"
    OFFLINE = "Device offline"
    NOT_SENT = "Device control failed"


class Ticket(str):
    """Id of a command that was sent."""


class Target(NamedTuple):
    """A device."""

    product_key: str
    device_key: str


def send(session: Session, kind: Kind, command: str, targets: Sequence[Target]) -> list[Ticket | Failure]:
    """Send a command to devices. Return for each a ticket, or why the device did not get it.

    The command for properties is JSON: a list of objects with values by code. Raises `INVALID`.
    """
    entries = [items.user_device(session.uid, *target) for target in targets]
    models = [items.tsl(target.product_key) for target in targets]
    reads = [Read(entry, Reason.LOOKUP_FAILED) for entry in entries]
    reads += [Read(model, Reason.LOOKUP_FAILED) for model in models]
    found = dynamodb.get_many([*session.reads(Reason.LOOKUP_FAILED), *reads])
    session.confirm(found)
    values = list(_values(command)) if kind is Kind.PROPERTY else []
    accepted = [_accepted(found[entry], found[model], values) for entry, model in zip(entries, models, strict=True)]
    online = user_devices.connections([held for held in accepted if not isinstance(held, Failure)])
    return [
        held
        if isinstance(held, Failure)
        else _sent(held["device"], online[held["device"]], _message(kind, command, values, found[model]))
        for held, model in zip(accepted, models, strict=True)
    ]


def _accepted(
    held: items.UserDevice | None, model: items.Tsl | None, values: list[tuple[str, Any]]
) -> items.UserDevice | Failure:
    if held is None or not holdings.lasts(held):
        return Failure.NOT_BOUND
    if values:
        described = {each["code"]: each for each in tsl.properties(model)}
        if not all(code in described and tsl.accepts(described[code], value) for code, value in values):
            return Failure.NOT_ACCEPTED
    return held


def _message(kind: Kind, command: str, values: list[tuple[str, Any]], model: items.Tsl | None) -> dict[str, Any]:
    """Return the message of an accepted command, with values in the types of the TSL."""
    message = {"type": "command", "kind": kind.name.lower()}
    if kind is not Kind.PROPERTY:
        return {**message, "data": command}
    described = {each["code"]: each for each in tsl.properties(model)}
    return {**message, "values": {code: tsl.typed(described[code], value) for code, value in values}}


def _sent(device: str, connection: str | None, message: Mapping[str, Any]) -> Ticket | Failure:
    if connection is None:
        return Failure.OFFLINE
    ticket = Ticket(uuid.uuid4().hex)
    try:
        if links.send(connection, {**message, "id": ticket}):
            return ticket
    except Refused:
        # The device does not read. Commands to other devices have been sent already.
        return Failure.NOT_SENT
    device_connections.gone(device, connection)
    return Failure.OFFLINE


def _values(command: str) -> Iterator[tuple[str, Any]]:
    try:
        parts = json.loads(command)
        # A device cannot report a lone surrogate either.
        json.dumps(parts, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise Refused(Reason.INVALID) from None
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) and part for part in parts):
        raise Refused(Reason.INVALID)
    for part in parts:
        yield from part.items()
