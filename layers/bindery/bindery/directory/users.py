"""Users: persons in an account, who act by session tokens."""

from dataclasses import dataclass
from typing import Literal

from bindery import clock, dynamo
from bindery.dynamo import Condition, Item, Key, Put, Table, Update
from bindery.faults import Reason

Role = Literal["administrator", "regular"]


@dataclass(frozen=True, slots=True)
class User:
    """A user as an operation sees them."""

    uid: str
    account: str
    domain: str | None
    role: Role
    home_mode: bool
    customer: str | None
    """The bank customer (the issuer's name for them) that this user is, if any."""


def key(uid: str) -> Key:
    """Where a user stands in the directory."""
    return Key(Table.DIRECTORY, f"user#{uid}", "user")


def create(
    uid: str,
    account: str,
    *,
    domain: str | None = None,
    role: Role = "regular",
    home_mode: bool = False,
    customer: str | None = None,
) -> None:
    """Enter a user. Raises `ALREADY_EXISTS`."""
    dynamo.write(
        Put(
            key(uid),
            {
                "uid": uid,
                "account": account,
                "domain": domain,
                "role": role,
                "home_mode": home_mode,
                "customer": customer,
                "enabled": True,
                "generation": 1,
                "created_at": clock.now(),
            },
            Condition(expression="attribute_not_exists(#pk)", otherwise=Reason.ALREADY_EXISTS),
        )
    )


def set_enabled(uid: str, enabled: bool) -> None:
    """Let a user in, or no longer. Raises `NOT_FOUND`."""
    _set(uid, "SET #enabled = :value", enabled)


def set_home_mode(uid: str, home_mode: bool) -> None:
    """Turn a user's home mode on or off. Raises `NOT_FOUND`."""
    _set(uid, "SET #home_mode = :value", home_mode)


def revoke_sessions(uid: str) -> None:
    """Make every token issued to a user so far worthless. Raises `NOT_FOUND`."""
    _set(uid, "ADD #generation :value", 1)


def read(record: Item) -> User:
    """The user in a record."""
    return User(
        record["uid"], record["account"], record["domain"], record["role"], record["home_mode"], record["customer"]
    )


def _set(uid: str, expression: str, value: bool | int) -> None:
    exists = Condition(expression="attribute_exists(#pk)", otherwise=Reason.NOT_FOUND)
    dynamo.write(Update(key(uid), expression, {":value": value}, exists))
