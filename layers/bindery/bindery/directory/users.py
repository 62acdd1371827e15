"""Users: persons in an account."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple, Unpack

from bindery import directory
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Batch, Check, CursorPage, Read
from bindery.aws.expressions import Condition, absent, equals, every
from bindery.core import clock
from bindery.core.errors import Reason
from bindery.directory import login_names
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
    """The bank customer that this user is."""
    email: str | None
    phone: str | None
    generation: int
    lease_generation: int
    pseudonym: str
    created_at: int
    parts: int = 1
    """Parts of the account's device list."""


def create(
    uid: str,
    account: str,
    *,
    domain: str | None = None,
    role: Role = "regular",
    home_mode: bool = False,
    customer: str | None = None,
    email: str | None = None,
    phone: str | None = None,
    references: Sequence[Check] = (),
) -> None:
    """Create a user. Email addresses are compared folded.

    Raises `ALREADY_EXISTS` (uid, address or phone number) and `NOT_FOUND` (account or reference).
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
    if phone is not None:
        record["phone"] = phone
    if login_names.taken_in_account(record):
        record["only_in_domain"] = True
    dynamodb.transact(
        [
            items.user(uid).put(record, when=absent().raises(Reason.ALREADY_EXISTS)),
            items.account(account).check(directory.OPEN),
            *references,
            *login_names.claims(record),
        ]
    )


def show(uid: str) -> items.User:
    """Return a user's record, with the password hash. Raises `NOT_FOUND`."""
    return directory.show(items.user(uid))


def list_users(account: str, limit: int, cursor: str | None) -> CursorPage[items.User]:
    """Return a page of an account's users."""
    return dynamodb.page(items.users(account), limit, cursor)


def list_with_email(email: str, account: str | None, limit: int, cursor: str | None) -> CursorPage[items.User]:
    """Return a page of the users with an email address in all accounts, or in one. A page can have fewer users."""
    names = dynamodb.page(items.users_with_email(email), limit, cursor)
    keys = [items.user(name["uid"]) for name in names.items if account in (None, name["account"])]
    read = dynamodb.get_many([Read(key) for key in keys]) if keys else Batch({})
    # The index may lag: a user's address can be another by now.
    found = [user for user in map(read.__getitem__, keys) if user is not None and login_names.has_email(user, email)]
    return CursorPage(found, names.cursor)


def change(uid: str, /, *, references: Sequence[Check] = (), **members: Unpack[items.User]) -> None:
    """Change a user's role, domain, home_mode, customer, email or phone.

    Another domain ends tokens and connections, another customer connections. Raises `NOT_FOUND`, `ALREADY_EXISTS`
    (address or phone number) and `CONFLICT`.
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
    if not counted and not {"email", "phone"} & members.keys():
        directory.change(items.user(uid), members)
        return
    if moved or "email" in members:
        members["only_in_domain"] = login_names.taken_in_account(was | members)
    now = was | members
    before, after = login_names.names(was), login_names.names(now)
    unchanged = same_names(was) & equals("customer", was["customer"])
    dynamodb.transact(
        [
            items.user(uid).update(set=members, add=counted, when=unchanged.raises(_changed)),
            *(references if moved else ()),
            *login_names.claims(now),
            *(name.delete() for name in before if name not in after),
        ]
    )


def same_names(was: items.User) -> Condition:
    """Condition: domain and login names are as read. Raises `CONFLICT` and `NOT_FOUND`."""
    same = [absent(name) | equals(name, was.get(name)) for name in ("email", "only_in_domain", "phone")]
    return (equals("domain", was["domain"]) & every(same)).raises(_changed)


def _changed(found: dict[str, object]) -> Reason:
    return Reason.CONFLICT if found else Reason.NOT_FOUND


def set_enabled(uid: str, enabled: bool) -> None:
    """Enable or disable a user. Disabling suspends tokens and ends connections. Raises `NOT_FOUND`."""
    dynamodb.write(directory.set_enabled(items.user(uid), enabled, directory.EXISTS))


def set_home_mode(uid: str, home_mode: bool) -> None:
    """Set a user's home mode. Raises `NOT_FOUND`."""
    changed: items.User = {"home_mode": home_mode}
    directory.change(items.user(uid), changed)


def set_password(uid: str, password: str) -> None:
    """Replace a user's password, revoke tokens and end connections. Raises `NOT_FOUND`."""
    changed: items.User = {"password": passwords.protect(password)}
    dynamodb.write(items.user(uid).update(set=changed, add={"generation": 1}, when=directory.EXISTS))


def revoke_sessions(uid: str) -> None:
    """Revoke tokens and end connections. Raises `NOT_FOUND`."""
    dynamodb.write(items.user(uid).update(add={"generation": 1}, when=directory.EXISTS))


def lease_generation(user: items.User, account: items.Account) -> int:
    """Return the generation of a user's leases. Revocation, disabling and another bank customer raise it."""
    return user["generation"] + user.get("suspensions", 0) + account.get("suspensions", 0)


def from_items(user: items.User, account: items.Account) -> User:
    """Return the user of a record."""
    return User(
        user["uid"],
        user["account"],
        user["domain"],
        user["role"],
        user["home_mode"],
        user["customer"],
        user.get("email"),
        user.get("phone"),
        user["generation"],
        lease_generation(user, account),
        pseudonym(user["uid"], user),
        user["created_at"],
        account.get("parts", 1),
    )


def pseudonym(uid: str, item: items.User | items.Connection) -> str:
    """Return the random name under which bindings list a user's leases. After an erasure, it identifies nobody.

    Users from before pseudonyms have their uid's SHA-256.
    """
    return item.get("pseudonym") or secrets.fingerprint(uid)
