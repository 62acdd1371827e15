"""Users: persons in an account, who act by session tokens."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple, Unpack

from bindery import directory
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Check, CursorPage
from bindery.aws.expressions import Condition, absent, equals
from bindery.core import clock
from bindery.core.errors import Reason
from bindery.directory import emails
from bindery.registry import items
from bindery.security import passwords, secrets

Role = items.Role


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
    """Name by which bindings list their leases."""


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
    """Create a user. An email address is stored as given, and compared folded. `references` check what must exist.

    Raises `ALREADY_EXISTS` (the uid; or the address, in the account or the domain) and `NOT_FOUND` (the account or a
    reference does not exist).
    """
    record: items.User = {
        "collection": items.users(account).value,
        "uid": uid,
        "account": account,
        "domain": domain,
        "role": role,
        "home_mode": home_mode,
        "customer": customer,
        "email": email,
        "enabled": True,
        # Not 1: a token of an earlier user of this uid, who was erased, must not become valid again.
        "generation": clock.now(),
        "created_at": clock.now(),
        "pseudonym": uuid.uuid4().hex,
    }
    dynamodb.transact(
        [
            items.user(uid).put(record, when=absent().raises(Reason.ALREADY_EXISTS)),
            items.account(account).check(directory.EXISTS),
            *references,
            *(emails.claim(name, record) for name in emails.names(record)),
        ]
    )


def show(uid: str) -> items.User:
    """Return a user's record, including the password hash. Raises `NOT_FOUND`."""
    return directory.show(items.user(uid))


def list_users(account: str, limit: int, cursor: str | None) -> CursorPage[items.User]:
    """Return a page of an account's users, by uid. Raises `INVALID` for an invalid cursor."""
    return dynamodb.page(items.users(account), limit, cursor)


def change(uid: str, /, *, references: Sequence[Check] = (), **members: Unpack[items.User]) -> None:
    """Change a user's role, domain, home_mode, customer or email. `references` are as in `create`.

    Another domain permanently ends their tokens and connections, another customer their connections. Raises
    `NOT_FOUND`, `ALREADY_EXISTS` (the email address is another user's, in the account or the domain) and `CONFLICT`
    (domain, customer or address was changed concurrently; nothing was written).
    """
    was = show(uid)
    moved = members.get("domain", was["domain"]) != was["domain"]
    if not moved:
        members.pop("domain", None)
    counted: items.User = {}
    if moved:
        counted["generation"] = 1
    if members.get("customer", was["customer"]) != was["customer"]:
        counted["suspensions"] = 1
    if not counted and "email" not in members:
        directory.change(items.user(uid), members)
        return
    before, after = emails.names(was), emails.names(was | members)
    unchanged = same_names(was) & equals("customer", was["customer"])
    dynamodb.transact(
        [
            items.user(uid).update(set=members, add=counted, when=unchanged.raises(_changed)),
            *(references if moved else ()),
            *(emails.claim(name, was) for name in after),
            *(name.delete() for name in before if name not in after),
        ]
    )


def same_names(was: items.User) -> Condition:
    """Condition: the user still has the domain and the email address of a record that was read.

    Raises `CONFLICT`, or `NOT_FOUND` if the user no longer exists.
    """
    same_email = absent("email") | equals("email", was.get("email"))
    return (equals("domain", was["domain"]) & same_email).raises(_changed)


def _changed(found: dict[str, object]) -> Reason:
    return Reason.CONFLICT if found else Reason.NOT_FOUND


def set_enabled(uid: str, enabled: bool) -> None:
    """Enable or disable a user. Disabling suspends their tokens and ends their connections. Raises `NOT_FOUND`."""
    dynamodb.write(directory.set_enabled(items.user(uid), enabled, directory.EXISTS))


def set_home_mode(uid: str, home_mode: bool) -> None:
    """Turn a user's home mode on or off. Raises `NOT_FOUND`."""
    changed: items.User = {"home_mode": home_mode}
    directory.change(items.user(uid), changed)


def set_password(uid: str, password: str) -> None:
    """Replace a user's password; tokens issued so far stay valid. Raises `NOT_FOUND`.

    Takes about half a second of CPU and 128 MiB (`bindery.security.passwords`).
    """
    changed: items.User = {"password": passwords.protect(password)}
    directory.change(items.user(uid), changed)


def revoke_sessions(uid: str) -> None:
    """Revoke every token issued to a user so far, and end their connections. Raises `NOT_FOUND`."""
    dynamodb.write(items.user(uid).update(add={"generation": 1}, when=directory.EXISTS))


def lease_generation(user: items.User, account: items.Account) -> int:
    """Return the generation under which a user's leases are valid.

    It is a sum of counters that only rise: when the user's sessions are revoked, when the user or their account is
    disabled, and when the user becomes another bank customer.
    """
    return user["generation"] + user.get("suspensions", 0) + account.get("suspensions", 0)


def from_items(user: items.User, account: items.Account) -> User:
    """Return the user of a record, given their account's."""
    return User(
        user["uid"],
        user["account"],
        user["domain"],
        user["role"],
        user["home_mode"],
        user["customer"],
        user.get("email"),
        user["generation"],
        lease_generation(user, account),
        pseudonym(user["uid"], user),
    )


def pseudonym(uid: str, item: items.User | items.Connection) -> str:
    """Return the name by which bindings list a user's leases, given the user's record or a lease of theirs.

    It is random, so what an erasure leaves of it in bindings does not identify the user. Users created before there
    were pseudonyms are listed by the SHA-256 of their uid.
    """
    return item.get("pseudonym") or secrets.fingerprint(uid)
