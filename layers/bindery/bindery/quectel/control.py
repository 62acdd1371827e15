"""quectel: send commands to devices. Also raises `TOKEN_INVALID` and `LOOKUP_FAILED`."""

import json
from collections.abc import Iterator, Sequence
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Read
from bindery.core.errors import Reason, Refused
from bindery.directory.sessions import Session
from bindery.quectel import tsl
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


class Target(NamedTuple):
    """A device."""

    product_key: str
    device_key: str


def send(session: Session, kind: Kind, command: str, targets: Sequence[Target]) -> list[Failure]:
    """Return for each device why it did not get the command: at best it is offline, because devices cannot connect.

    The command for properties is JSON: a list of objects with values by code. Raises `INVALID`.
    """
    entries = [items.user_device(session.uid, *target) for target in targets]
    models = [items.tsl(target.product_key) for target in targets]
    reads = [Read(entry, Reason.LOOKUP_FAILED) for entry in entries]
    reads += [Read(model, Reason.LOOKUP_FAILED) for model in models]
    found = dynamodb.get_many([*session.reads(Reason.LOOKUP_FAILED), *reads])
    session.confirm(found)
    values = list(_values(command)) if kind is Kind.PROPERTY else []
    return [_failure(found[entry], found[model], values) for entry, model in zip(entries, models, strict=True)]


def _failure(held: items.UserDevice | None, model: items.Tsl | None, values: list[tuple[str, Any]]) -> Failure:
    if not holdings.lasts(held):
        return Failure.NOT_BOUND
    if values:
        described = {each["code"]: each for each in tsl.properties(model)}
        if not all(code in described and tsl.accepts(described[code], value) for code, value in values):
            return Failure.NOT_ACCEPTED
    return Failure.OFFLINE


def _values(command: str) -> Iterator[tuple[str, Any]]:
    try:
        parts = json.loads(command)
    except (ValueError, RecursionError):
        raise Refused(Reason.INVALID) from None
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) and part for part in parts):
        raise Refused(Reason.INVALID)
    for part in parts:
        yield from part.items()
