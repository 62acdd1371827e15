"""Users: persons in an account, who act by session tokens."""

from dataclasses import dataclass
from typing import Any, Literal

from bindery import clock, directory, dynamo, identity, passwords
from bindery.directory import accounts
from bindery.dynamo import Check, Condition, Item, Key, Page, Put, Table, Update
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
    email: str | None = None,
) -> None:
    """Enter a user. The domain may be entered later. An email address is stored folded, and may be another's too.

    Raises `ALREADY_EXISTS` and `NOT_FOUND` (there is no such account).
    """
    dynamo.transact(
        [
            Put(
                key(uid),
                {
                    "list": _list(account),
                    "uid": uid,
                    "account": account,
                    "domain": domain,
                    "role": role,
                    "home_mode": home_mode,
                    "customer": customer,
                    "email": None if email is None else identity.folded(email),
                    "enabled": True,
                    # Not 1: a token of an earlier user of this uid, who was erased, must not become this one's.
                    "generation": clock.now(),
                    "created_at": clock.now(),
                },
                Condition(expression="attribute_not_exists(#pk)", otherwise=Reason.ALREADY_EXISTS),
            ),
            Check(accounts.key(account), directory.EXISTS),
        ]
    )


def show(uid: str) -> Item:
    """A user's record, what stands for the password included. Raises `NOT_FOUND`."""
    return directory.show(key(uid))


def page(account: str, limit: int, cursor: str | None) -> Page:
    """Part of the list of an account's users, by uid, or an empty one. Raises `INVALID`: the cursor is none."""
    return directory.page(_list(account), limit, cursor)


def change(uid: str, **members: Any) -> None:
    """Change these members of a user: role, domain, home_mode, customer. Another domain ends their tokens for good.

    Raises `NOT_FOUND` and `UNAVAILABLE` (the user was moved elsewhere at the same time: nothing has changed).
    """
    was = show(uid)["domain"]
    if members.get("domain", was) == was:
        members.pop("domain", None)
        directory.change(key(uid), members)
        return
    dynamo.write(
        Update(
            key(uid),
            f"SET {', '.join(f'#{name} = :{name}' for name in members)} ADD #generation :one",
            {f":{name}": value for name, value in members.items()} | {":one": 1},
            Condition(
                expression="#domain = :was OR #domain = :domain", values={":was": was}, otherwise=Reason.UNAVAILABLE
            ),
        )
    )


def set_enabled(uid: str, enabled: bool) -> None:
    """Let a user in, or no longer; their tokens are worthless meanwhile. Raises `NOT_FOUND`."""
    directory.change(key(uid), {"enabled": enabled})


def set_home_mode(uid: str, home_mode: bool) -> None:
    """Turn a user's home mode on or off. Raises `NOT_FOUND`."""
    directory.change(key(uid), {"home_mode": home_mode})


def set_password(uid: str, password: str) -> None:
    """Give a user a password in place of the last; tokens issued so far stay good. Raises `NOT_FOUND`.

    Takes about half a second of a processor, and 128 MiB (`bindery.passwords`).
    """
    directory.change(key(uid), {"password": passwords.protect(password)})


def revoke_sessions(uid: str) -> None:
    """Make every token issued to a user so far worthless. Raises `NOT_FOUND`."""
    dynamo.write(Update(key(uid), "ADD #generation :one", {":one": 1}, directory.EXISTS))


def read(record: Item) -> User:
    """The user in a record."""
    return User(
        record["uid"], record["account"], record["domain"], record["role"], record["home_mode"], record["customer"]
    )


def _list(account: str) -> str:
    """Under which an account's users stand in the index by list."""
    return f"users#{account}"
