"""Users: persons in an account, who act by session tokens."""

import uuid
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from bindery import directory
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Check, Condition, Delete, Item, Key, Page, Put, Table, Update
from bindery.core import clock
from bindery.core.errors import Reason
from bindery.directory import accounts, emails
from bindery.security import passwords, secrets

Role = Literal["administrator", "regular"]


class User(NamedTuple):
    """A user as an operation sees them."""

    uid: str
    account: str
    domain: str | None
    role: Role
    home_mode: bool
    customer: str | None
    """The bank customer (the issuer's name for them) that this user is, if any."""
    email: str | None
    generation: int
    """Generation of their sessions; revoking them raises it."""
    lease_generation: int
    """Generation of their leases (`lease_generation`)."""
    pseudonym: str
    """Under what bindings name them as connected."""


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
    references: Sequence[Check] = (),
) -> None:
    """Create a user. An email address is stored as given, and compared folded. `references` are what must exist.

    Raises `ALREADY_EXISTS` (the uid; or the address, in the account or in the domain) and `NOT_FOUND` (the account or a
    reference does not exist).
    """
    record = {
        "list": _list(account),
        "uid": uid,
        "account": account,
        "domain": domain,
        "role": role,
        "home_mode": home_mode,
        "customer": customer,
        "email": email,
        "enabled": True,
        # Not 1: a token of an earlier user of this uid, who was erased, must not become this one's.
        "generation": clock.now(),
        "created_at": clock.now(),
        "pseudonym": uuid.uuid4().hex,
    }
    new = Condition(expression="attribute_not_exists(#pk)", otherwise=Reason.ALREADY_EXISTS)
    dynamodb.transact(
        [
            Put(key(uid), record, new),
            Check(accounts.key(account), directory.EXISTS),
            *references,
            *(emails.claim(name, record) for name in emails.names(record)),
        ]
    )


def show(uid: str) -> Item:
    """A user's record, what stands for the password included. Raises `NOT_FOUND`."""
    return directory.show(key(uid))


def page(account: str, limit: int, cursor: str | None) -> Page:
    """Part of the list of an account's users, by uid, or an empty one. Raises `INVALID`: the cursor is none."""
    return directory.page(_list(account), limit, cursor)


def change(uid: str, *, references: Sequence[Check] = (), **members: Any) -> None:
    """Change these members of a user: role, domain, home_mode, customer, email. `references` are as in `create`.

    Another domain ends their tokens and connections permanently, another customer their connections. Raises
    `NOT_FOUND`, `ALREADY_EXISTS` (the email address is another's, in the account or in the domain) and `CONFLICT` (the
    user's domain, customer or address was changed at the same time: nothing has changed).
    """
    was = show(uid)
    moved = members.get("domain", was["domain"]) != was["domain"]
    if not moved:
        members.pop("domain", None)
    another = members.get("customer", was["customer"]) != was["customer"]
    raised = [name for name, ends in (("generation", moved), ("suspensions", another)) if ends]
    if not raised and "email" not in members:
        directory.change(key(uid), members)
        return
    same = same_names(was)
    before, after = emails.names(was), emails.names(was | members)
    dynamodb.transact(
        [
            Update(
                key(uid),
                f"SET {', '.join(f'#{name} = :{name}' for name in members)}"
                + (" ADD " + ", ".join(f"#{name} :one" for name in raised) if raised else ""),
                {f":{name}": value for name, value in members.items()} | ({":one": 1} if raised else {}),
                same._replace(
                    expression=f"{same.expression} AND #customer = :was_customer",
                    values={**same.values, ":was_customer": was["customer"]},
                ),
            ),
            *(references if moved else ()),
            *(emails.claim(name, was) for name in after),
            *(Delete(name) for name in before if name not in after),
        ]
    )


def same_names(was: Item) -> Condition:
    """Holds a write to a user who still has the domain and the email address of a record that was read."""
    return Condition(
        expression="#domain = :was_domain AND (attribute_not_exists(#email) OR #email = :was_email)",
        values={":was_domain": was["domain"], ":was_email": was.get("email")},
        otherwise=lambda found: Reason.CONFLICT if found else Reason.NOT_FOUND,
    )


def set_enabled(uid: str, enabled: bool) -> None:
    """Enable a user, or disable them, which suspends their tokens and ends their connections. Raises `NOT_FOUND`."""
    dynamodb.write(directory.enabling(key(uid), enabled, directory.EXISTS))


def set_home_mode(uid: str, home_mode: bool) -> None:
    """Turn a user's home mode on or off. Raises `NOT_FOUND`."""
    directory.change(key(uid), {"home_mode": home_mode})


def set_password(uid: str, password: str) -> None:
    """Give a user a password in place of the last; tokens issued so far stay good. Raises `NOT_FOUND`.

    Takes about half a second of a processor, and 128 MiB (`bindery.security.passwords`).
    """
    directory.change(key(uid), {"password": passwords.protect(password)})


def revoke_sessions(uid: str) -> None:
    """Make every token issued to a user so far worthless, and end their connections. Raises `NOT_FOUND`."""
    dynamodb.write(Update(key(uid), "ADD #generation :one", {":one": 1}, directory.EXISTS))


def lease_generation(record: Item, account: Item) -> int:
    """Generation under which a user's leases are valid.

    It is a sum of counters that only rise: with the generation of the user's sessions, whenever the user or their
    account is disabled, and when the user becomes another bank customer.
    """
    generation: int = record["generation"] + record.get("suspensions", 0) + account.get("suspensions", 0)
    return generation


def read(record: Item, account: Item) -> User:
    """The user in a record and in that of their account."""
    return User(
        record["uid"],
        record["account"],
        record["domain"],
        record["role"],
        record["home_mode"],
        record["customer"],
        record.get("email"),
        record["generation"],
        lease_generation(record, account),
        pseudonym(record["uid"], record),
    )


def pseudonym(uid: str, record: Item) -> str:
    """Under what bindings name a user as connected, by the user's record, or by a lease of theirs.

    It is random, so that what is left of it in bindings when the user is erased is nobody's. A user of a time when
    there was none is named by the SHA-256 of their uid.
    """
    found: str = record.get("pseudonym") or secrets.fingerprint(uid)
    return found


def _list(account: str) -> str:
    """Under which an account's users stand in the index by list."""
    return f"users#{account}"
