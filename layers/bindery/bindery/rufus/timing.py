"""Timing sessions of company devices, and the race passings that they report (rufus)."""

import re
import secrets
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bindery.aws import dynamodb
from bindery.aws.attribute_values import cursor_of, encode
from bindery.aws.dynamodb import Key, Read, Update
from bindery.aws.expressions import absent, equals
from bindery.core import clock, env
from bindery.core.errors import Reason, Refused
from bindery.registry import bindings, devices, identity, items
from bindery.security.secrets import fingerprint

_TOGETHER = 90  # passings in a transaction, which can have 100 items
_TOKEN = re.compile(r"[0-9A-F]{96}")


class Inserted(NamedTuple):
    """Numbers of passings."""

    new: int
    duplicates: int


class Page(NamedTuple):
    """Passings, and the cursor of the next ones."""

    passings: list[items.Passing]
    cursor: str | None


def open_session(account: str, device_id: str, *, used: Update | None = None) -> str:
    """Open a session, which ends the device's earlier one, and return its token.

    Raises `DEVICE_UNKNOWN` and `DEVICE_BANNED`.
    """
    device = identity.company_device_of(account, device_id)
    secret = secrets.token_hex(16).upper()
    opened: items.Binding = {"session": fingerprint(secret), "last_seen": clock.now()}
    still_held = bindings.held_by(account).raises(Reason.DEVICE_UNKNOWN, deviceid=device_id)
    dynamodb.transact(
        [
            items.owner(device).update(set=opened, add={"sessions": 1}, when=still_held),
            items.device(device).check(devices.NOT_BANNED),
        ],
        aside=used,
    )
    # The token begins with the end of the device's key, so finding its session costs no read.
    return device.rpartition("#")[2].upper() + secret


def insert(account: str, token: str, passings: Sequence[items.Passing], *, used: Update | None = None) -> Inserted:
    """Insert a session's passings, each once. Raises `NOT_FOUND` (session), `DEVICE_BANNED` and `CONFLICT`."""
    if not _TOKEN.fullmatch(token):
        raise Refused(Reason.NOT_FOUND)
    device, session = identity.join("rufus", account, token[:64].lower()), fingerprint(token[64:])
    expires_at = clock.seconds() + int(env.read("PASSING_DAYS")) * 86400
    given: dict[Key[items.Passing], items.Passing] = {
        items.passing(device, each["at"], session, each["num_passing"]): each | {"expires_at": expires_at}
        for each in passings
    }
    writer = _Writer(account, device, session, used)
    keys = list(given)
    parts = (keys[start : start + _TOGETHER] for start in range(0, len(keys), _TOGETHER))
    new = sum(writer.insert({key: given[key] for key in part}) for part in parts)
    return Inserted(new, len(passings) - new)


class _Writer(NamedTuple):
    account: str
    device: str
    session: str
    used: Update | None

    def insert(self, given: Mapping[Key[items.Passing], items.Passing]) -> int:
        """Write passings in one transaction, and return how many are new."""
        try:
            return self._write(given, Reason.ALREADY_EXISTS)
        except Refused as refused:
            if refused.reason is not Reason.ALREADY_EXISTS:
                raise
        stored = dynamodb.get_many([Read(key) for key in given])
        return self._write({key: item for key, item in given.items() if stored[key] is None}, Reason.CONFLICT)

    def _write(self, given: Mapping[Key[items.Passing], items.Passing], stored: Reason) -> int:
        active = bindings.held_by(self.account) & equals("session", self.session)
        seen: items.Binding = {"last_seen": clock.now()}
        dynamodb.transact(
            [
                items.owner(self.device).update(
                    set=seen, add={"passings": len(given)}, when=active.raises(Reason.NOT_FOUND)
                ),
                items.device(self.device).check(devices.NOT_BANNED),
                *(key.put(item, when=absent().raises(stored)) for key, item in given.items()),
            ],
            aside=self.used,
        )
        return len(given)


def page(account: str, device_id: str, limit: int, cursor: str | None) -> Page:
    """Return a page of a device's passings, in the order of their times. Raises `INVALID` (cursor).

    They outlive the binding. An unknown device has none. A page can be shorter than `limit`.
    """
    device = identity.company_device_of(account, device_id)
    start = None if cursor is None else _start(device, cursor)
    read = dynamodb.page(items.passings(device), limit, start)
    # DynamoDB deletes expired items only within days.
    kept = [passing for passing in read.items if passing["expires_at"] > clock.seconds()]
    return Page(kept, None if read.cursor is None else identity.opaque(read.items[-1]["sk"]))


def _start(device: str, cursor: str) -> str:
    try:
        sort_key = identity.from_opaque(cursor)
    except Refused:
        sort_key = ""
    if not sort_key.startswith("at#"):
        raise Refused(Reason.INVALID, parameters="cursor")
    return cursor_of(encode({"pk": device, "sk": sort_key}))
