"""/admin/v1/users: the persons in an account."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StringConstraints

from bindery.core.errors import Reason
from bindery.directory import sessions, users
from bindery.directory.users import Role
from bindery.http.fields import VERBATIM, Customer, Email
from bindery.operators import references
from bindery.operators.resource import UNCHANGED, Asked, Cursor, Id, Limit, Page, PathId, QueryId, Resource, explained
from bindery.security import passwords

handler = Resource("users")


class NewUser(Asked):
    """A user to enter."""

    uid: Id
    account: Id
    domain: Id | None = None
    role: Role = "regular"
    home_mode: StrictBool = False
    customer: Customer | None = None
    email: Email | None = None


class Change(Asked):
    """What to change of a user; the rest stays. A domain, a customer or an address may be taken away (null)."""

    role: Role = UNCHANGED
    domain: Id | None = UNCHANGED
    home_mode: StrictBool = UNCHANGED
    customer: Customer | None = UNCHANGED
    email: Email | None = UNCHANGED


class NewPassword(Asked):
    """A password, to the letter: blanks at its ends count. It has no control character, which no login takes."""

    password: Annotated[
        str,
        StringConstraints(
            strip_whitespace=False, min_length=passwords.SHORTEST, max_length=passwords.LONGEST, pattern=VERBATIM
        ),
        Field(repr=False),
    ]


class NewToken(Asked):
    """A session token to issue: for which API, and for how many seconds, a year at most."""

    dialect: Literal["quectel", "remoteit"]
    lifetime: Annotated[StrictInt, Field(ge=1, le=31_536_000)]


class User(BaseModel):
    """A user. One who is not enabled is let in nowhere."""

    model_config = ConfigDict(hide_input_in_errors=True)

    uid: str
    account: str
    domain: str | None
    role: Role
    home_mode: bool
    customer: str | None
    email: str | None = None
    enabled: bool
    created_at: int


class Token(BaseModel):
    """A session token, which is shown this once."""

    token: str
    expires_at: int


def _read(record: Mapping[str, Any]) -> User:
    return User.model_validate(record)


@handler.app.post("/admin/v1/users")
def create(new: NewUser) -> User:
    """Enter a user of an account and, for quectel, of a domain."""
    with explained({Reason.NOT_FOUND: "the account does not exist"}, "account"):
        users.create(**new.model_dump(), references=references.domain(new.domain))
    return _read(users.show(new.uid))


@handler.app.get("/admin/v1/users")
def page(account: QueryId, limit: Limit = 50, cursor: Cursor = None) -> Page[User]:
    """List an account's users, by id."""
    found = users.page(account, limit, cursor)
    return Page(items=[_read(record) for record in found.items], next=found.cursor)


@handler.app.get("/admin/v1/users/<uid>")
def show(uid: PathId) -> User:
    """Show a user."""
    return _read(users.show(uid))


@handler.app.patch("/admin/v1/users/<uid>")
def change(uid: PathId, change: Change) -> User:
    """Change what is given. Moving a user to another domain ends their tokens and connections."""
    given = change.given()
    users.change(uid, references=references.domain(given.get("domain")), **given)
    return _read(users.show(uid))


@handler.app.post("/admin/v1/users/<uid>/disable")
def disable(uid: PathId) -> User:
    """Let a user in nowhere; their tokens stop authenticating at once."""
    users.set_enabled(uid, False)
    return _read(users.show(uid))


@handler.app.post("/admin/v1/users/<uid>/enable")
def enable(uid: PathId) -> User:
    """Let a user in again, by the tokens issued before too unless they were revoked."""
    users.set_enabled(uid, True)
    return _read(users.show(uid))


@handler.app.post("/admin/v1/users/<uid>/password")
def set_password(uid: PathId, new: NewPassword) -> User:
    """Give a user a password; it is never shown."""
    users.set_password(uid, new.password)
    return _read(users.show(uid))


@handler.app.post("/admin/v1/users/<uid>/tokens")
def issue_token(uid: PathId, new: NewToken) -> Token:
    """Issue a session token."""
    token, expires_at = sessions.issue(uid, new.dialect, new.lifetime)
    return Token(token=token, expires_at=expires_at * 1000)


@handler.app.post("/admin/v1/users/<uid>/revoke-tokens")
def revoke_tokens(uid: PathId) -> User:
    """Make every token issued to a user so far worthless, and end their connections."""
    users.revoke_sessions(uid)
    return _read(users.show(uid))
