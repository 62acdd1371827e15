"""API keys of accounts: rufus' company keys and remoteit's developer keys. Only their SHA-256 is stored."""

import re
import secrets
from dataclasses import dataclass
from enum import StrEnum

from bindery import clock, dynamo
from bindery.directory import accounts
from bindery.dynamo import Condition, Item, Key, Put, Update
from bindery.faults import Fault, Reason
from bindery.keyring import fingerprint
from bindery.wire import Access

Kind = accounts.KeyKind

LIVE_LIMIT = 10
"""How many keys of one kind that are neither revoked nor expired an account holds at most."""


class Grant(StrEnum):
    """What a key lets its bearer do (rufus: its access type)."""

    READ = "READ"
    WRITE = "WRITE"
    READ_WRITE = "READ_WRITE"


_FORMS = {Kind.RUFUS: re.compile(r"ror-[0-9a-f]{20,}"), Kind.REMOTEIT: re.compile(r"[A-Za-z0-9+/=_-]{20,}")}
_PREFIXES = {Kind.RUFUS: "ror-", Kind.REMOTEIT: ""}


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that has been presented and is good."""

    account: str
    grant: Grant
    unbind: bool

    def allows(self, access: Access) -> bool:
        """READ reads, WRITE writes, READ_WRITE does both; unbinding is a permission apart."""
        match access:
            case Access.READ:
                return self.grant is not Grant.WRITE
            case Access.WRITE:
                return self.grant is not Grant.READ
            case Access.UNBIND:
                return self.unbind


def presented(credential: str) -> Key:
    """Where a key that a caller presents would stand."""
    return accounts.api_key(fingerprint(credential))


def check(record: Item | None, kind: Kind) -> ApiKey:
    """The key behind a record. Raises `KEY_UNKNOWN`: no such key, or revoked, expired, or its account is closed."""
    if (
        record is None
        or record["kind"] != kind
        or not record["account_enabled"]
        or "revoked_at" in record
        or 0 < record.get("expires_at", 0) <= clock.now()
    ):
        raise Fault(Reason.KEY_UNKNOWN)
    return ApiKey(record["account"], Grant(record["grant"]), record["unbind"])


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
    its ten live keys of this kind), `INVALID` (a READ key cannot unbind; a chosen key must have the kind's form) and
    `ALREADY_EXISTS`.
    """
    credential = chosen or _PREFIXES[kind] + secrets.token_hex(20)
    if (unbind and grant is Grant.READ) or not _FORMS[kind].fullmatch(credential):
        raise Fault(Reason.INVALID)
    hashed = fingerprint(credential)
    expiry = {} if expires_at is None else {"expires_at": expires_at}
    record = {
        "kind": kind,
        "account": account,
        "account_enabled": True,
        "grant": grant,
        "unbind": unbind,
        "alias": alias,
        "created_at": clock.now(),
        **expiry,
    }
    _forget_expired(account, kind)
    dynamo.transact(
        [
            Put(
                accounts.api_key(hashed),
                record,
                Condition(expression="attribute_not_exists(#pk)", otherwise=Reason.ALREADY_EXISTS),
            ),
            Update(
                accounts.key(account),
                f"SET #live_keys.#{kind}.#{hashed} = :expires_at",
                {":expires_at": expires_at or 0},
                Condition(
                    expression=f"#enabled = :true AND size(#live_keys.#{kind}) < :limit",
                    values={":true": True, ":limit": LIVE_LIMIT},
                    otherwise=lambda found: (
                        Reason.LIMIT_REACHED if accounts.enabled(found or None) else Reason.NOT_FOUND
                    ),
                ),
            ),
        ]
    )
    return credential


def revoke(credential: str) -> None:
    """Revoke a key at once. Raises `NOT_FOUND`; revoking twice is the same as once."""
    hashed = fingerprint(credential)
    record = dynamo.get(accounts.api_key(hashed))
    if record is None:
        raise Fault(Reason.NOT_FOUND)
    dynamo.transact(
        [
            Update(
                accounts.api_key(hashed),
                "SET #revoked_at = if_not_exists(#revoked_at, :now)",
                {":now": clock.now()},
            ),
            Update(accounts.key(record["account"]), f"REMOVE #live_keys.#{record['kind']}.#{hashed}"),
        ]
    )


def _forget_expired(account: str, kind: Kind) -> None:
    """Take keys that have expired out of those that count as live. Raises `NOT_FOUND`."""
    record = dynamo.get(accounts.key(account))
    if record is None:
        raise Fault(Reason.NOT_FOUND)
    expired = [hashed for hashed, expires_at in record["live_keys"][kind].items() if 0 < expires_at <= clock.now()]
    if expired:
        dynamo.write(
            Update(accounts.key(account), "REMOVE " + ", ".join(f"#live_keys.#{kind}.#{hashed}" for hashed in expired))
        )
