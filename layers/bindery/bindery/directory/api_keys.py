"""API keys of accounts: rufus' company keys and remoteit's developer keys.

Only the SHA-256 of a key is stored, which is also its id. Every request reads its key, so a revoked one is worthless at
once.
"""

import re
import secrets
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from bindery import directory
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Condition, Item, Key, Page, Put, Table, Update
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import accounts, key_guesses
from bindery.directory.accounts import ROTATED
from bindery.http.messages import Access
from bindery.security.secrets import fingerprint

Kind = accounts.KeyKind

LIVE_LIMIT = 10
"""How many keys of one kind that are neither revoked nor expired an account holds at most.

A rotated key counts no more: its successor has its place, so that an account with ten can rotate them.
"""

ROTATED_LIMIT = 20
"""How many rotated keys that are yet to expire an account has at most."""


class Grant(StrEnum):
    """What a key lets its bearer do (rufus: its access type). remoteit knows none: its keys are READ_WRITE."""

    READ = "READ"
    WRITE = "WRITE"
    READ_WRITE = "READ_WRITE"


_KEPT = ("list", "kind", "account", "grant", "unbind", "alias", "expires_at")
"""What a key's successor has of it."""

_FORMS = {Kind.RUFUS: re.compile(r"ror-[0-9a-f]{20,}"), Kind.REMOTEIT: re.compile(r"[A-Za-z0-9+/=_-]{20,}")}
_PREFIXES = {Kind.RUFUS: "ror-", Kind.REMOTEIT: ""}


class ApiKey(NamedTuple):
    """A key that has been presented and is good."""

    account: str
    grant: Grant
    unbind: bool
    used: Update | None = None
    """The note that the key was used today, if it does not stand there yet: to be written along with what it is used
    for (`dynamodb.transact`, `aside`), once a day for each key."""

    def allows(self, access: Access) -> bool:
        """READ reads, WRITE writes, READ_WRITE does both; unbinding is a permission apart."""
        match access:
            case Access.READ:
                return self.grant is not Grant.WRITE
            case Access.WRITE:
                return self.grant is not Grant.READ
            case Access.UNBIND:
                return self.unbind


def id_of(credential: str) -> str:
    """The id of a key, by which operators name it."""
    return fingerprint(credential)


def presented(credential: str) -> Key:
    """Where a key that a caller presents would stand."""
    return accounts.api_key(id_of(credential))


def check(record: Item | None, kind: Kind) -> ApiKey:
    """The key behind a record. Raises `KEY_UNKNOWN`: no such key, or revoked, expired, or its account is closed."""
    if (
        record is None
        or record["kind"] != kind
        or not record["account_enabled"]
        or "revoked_at" in record
        or 0 < record.get("expires_at", 0) <= clock.now()
    ):
        raise Refused(Reason.KEY_UNKNOWN)
    return ApiKey(record["account"], Grant(record["grant"]), record["unbind"], _used(record))


def admit(record: Item | None, kind: Kind, source_ip: str) -> ApiKey:
    """The key behind a record, for a caller who presents it from this IP address.

    Raises what `key_guesses.refuse` does for one that `check` refuses.
    """
    try:
        return check(record, kind)
    except Refused:
        key_guesses.refuse(kind, source_ip)


def _used(record: Item) -> Update | None:
    today = clock.today().isoformat()
    if record.get("last_used") == today:
        return None
    return Update(Key(Table.DIRECTORY, record["pk"], record["sk"]), "SET #last_used = :today", {":today": today})


def issue(
    account: str,
    kind: Kind,
    grant: Grant,
    *,
    alias: str,
    unbind: bool = False,
    expires_at: int | None = None,
    chosen: str | None = None,
) -> str:
    """Issue a key and return it, the only time that it is seen. `chosen` is used instead of a random one.

    `expires_at` is in milliseconds. Raises `NOT_FOUND` (no such account, or closed), `LIMIT_REACHED` (the account has
    its ten live keys of this kind), `INVALID` (a READ key cannot unbind, a developer key is no other than READ_WRITE; a
    chosen key must have the kind's form) and `ALREADY_EXISTS`.
    """
    _refuse_impossible(kind, grant, unbind)
    credential = chosen or _random(kind)
    if not _FORMS[kind].fullmatch(credential):
        raise Refused(Reason.INVALID)
    hashed = id_of(credential)
    record = {
        "list": _list(account),
        "kind": kind,
        "account": account,
        "account_enabled": True,
        "grant": grant,
        "unbind": unbind,
        "alias": alias,
        "created_at": clock.now(),
        **({} if expires_at is None else {"expires_at": expires_at}),
    }
    expired = _expired(account, kind)
    dynamodb.transact(
        [
            Put(
                accounts.api_key(hashed),
                record,
                Condition(expression="attribute_not_exists(#pk)", otherwise=Reason.ALREADY_EXISTS),
            ),
            Update(
                accounts.key(account),
                f"SET #live_keys.#{kind}.#{hashed} = :expires_at" + _remove((kind, each) for each in expired),
                {":expires_at": expires_at or 0},
                Condition(
                    expression="#enabled = :true AND " + _room(expired, kind),
                    values={":true": True, ":limit": LIVE_LIMIT + len(expired)},
                    otherwise=lambda found: (
                        _no_room(found, expired, kind) if accounts.enabled(found or None) else Reason.NOT_FOUND
                    ),
                ),
            ),
        ]
    )
    return credential


def show(hashed: str) -> Item:
    """A key's record, with its `id`. Raises `NOT_FOUND`."""
    return _with_id(directory.show(accounts.api_key(hashed)))


def page(account: str, limit: int, cursor: str | None) -> Page:
    """Part of the list of an account's keys, by id, or an empty one. Raises `INVALID`: the cursor is none."""
    found = directory.page(_list(account), limit, cursor)
    return Page([_with_id(record) for record in found.items], found.cursor)


def rotate(hashed: str, overlap: int) -> str:
    """Issue a successor of a key, good for the same, and return it; the key itself expires after `overlap` seconds.

    One transaction, after reading the key and its account. Raises `NOT_FOUND`, `INVALID` (a developer key of a time
    when it could be other than READ_WRITE), `STATUS_NOT_VALID` (the key is revoked, expired or rotated already, or its
    account is closed) and `LIMIT_REACHED` (twenty rotated keys are yet to expire).
    """
    record = show(hashed)
    account, kind, now = record["account"], Kind(record["kind"]), clock.now()
    _refuse_impossible(kind, Grant(record["grant"]), record["unbind"])
    expires_at = record.get("expires_at", 0)
    ends = now + overlap * 1000
    if expires_at:
        ends = min(ends, expires_at)
    credential = _random(kind)
    successor = id_of(credential)
    kept = {name: record[name] for name in _KEPT if name in record}
    expired = _expired(account, ROTATED)
    dynamodb.transact(
        [
            Update(
                accounts.api_key(hashed),
                "SET #expires_at = :ends, #successor = :successor",
                {":ends": ends, ":successor": successor},
                Condition(
                    expression="attribute_not_exists(#revoked_at)"
                    " AND (attribute_not_exists(#expires_at) OR #expires_at > :now)",
                    values={":now": now},
                    otherwise=Reason.STATUS_NOT_VALID,
                ),
            ),
            Put(
                accounts.api_key(successor),
                {"created_at": now, "account_enabled": True} | kept,
                Condition(expression="attribute_not_exists(#pk)", otherwise=Reason.ALREADY_EXISTS),
            ),
            Update(
                accounts.key(account),
                f"SET #live_keys.#{kind}.#{successor} = :expires_at, #live_keys.#{ROTATED}.#{hashed} = :ends"
                + _remove([(kind, hashed), *((ROTATED, each) for each in expired)]),
                {":expires_at": expires_at, ":ends": ends},
                Condition(
                    expression=f"#enabled = :true AND attribute_exists(#live_keys.#{kind}.#{hashed}) AND "
                    + _room(expired, ROTATED),
                    values={":true": True, ":limit": ROTATED_LIMIT + len(expired)},
                    otherwise=lambda found: (
                        _no_room(found, expired, ROTATED)
                        if found["enabled"] and hashed in found["live_keys"][kind]
                        else Reason.STATUS_NOT_VALID
                    ),
                ),
            ),
        ]
    )
    return credential


def revoke(hashed: str) -> None:
    """Revoke a key at once. Raises `NOT_FOUND`; revoking twice is the same as once."""
    record = show(hashed)
    # A concurrent rotation may move it, so remove it from both groups.
    listed = [(group, hashed) for group in (record["kind"], ROTATED)]
    dynamodb.transact(
        [
            Update(
                accounts.api_key(hashed), "SET #revoked_at = if_not_exists(#revoked_at, :now)", {":now": clock.now()}
            ),
            Update(accounts.key(record["account"]), _remove(listed)),
        ]
    )


def _with_id(record: Item) -> Item:
    return record | {"id": record["pk"].removeprefix("key#")}


def _refuse_impossible(kind: Kind, grant: Grant, unbind: bool) -> None:
    """Raise `INVALID` for rights that no key of this kind has."""
    if kind is Kind.REMOTEIT and (grant is not Grant.READ_WRITE or unbind):
        raise Refused(
            Reason.INVALID,
            detail="remoteit's API has no grants: each of its keys is READ_WRITE, without unbind. Issue such a key.",
        )
    if unbind and grant is Grant.READ:
        raise Refused(Reason.INVALID, detail="A READ key cannot unbind: give it WRITE or READ_WRITE.")


def _random(kind: Kind) -> str:
    return _PREFIXES[kind] + secrets.token_hex(20)


def _list(account: str) -> str:
    """Under which an account's keys stand in the index by list."""
    return f"keys#{account}"


def _expired(account: str, group: str) -> list[str]:
    """The keys of a group that have expired and still count. Raises `NOT_FOUND`."""
    live = accounts.show(account)["live_keys"][group]
    return [hashed for hashed, expires_at in live.items() if 0 < expires_at <= clock.now()]


def _remove(listed: Iterable[tuple[str, str]]) -> str:
    """The REMOVE clause for keys of the account's `live_keys`, each given with its group, or nothing for no keys."""
    paths = ", ".join(f"#live_keys.#{group}.#{hashed}" for group, hashed in listed)
    return f" REMOVE {paths}" if paths else ""


def _room(expired: Sequence[str], group: str) -> str:
    """Condition: the group has room once these keys are taken out of it."""
    still = [f" AND attribute_exists(#live_keys.#{group}.#{hashed})" for hashed in expired]
    return f"size(#live_keys.#{group}) < :limit" + "".join(still)


def _no_room(found: Item, expired: Sequence[str], group: str) -> Reason:
    """Why there is no room: a concurrent request took the expired keys out, or too many count."""
    return Reason.LIMIT_REACHED if found["live_keys"][group].keys() >= set(expired) else Reason.CONFLICT
