"""/admin/v1/users: users of an account."""

from typing import Annotated, Literal

from bindery.core.errors import Reason, Refused
from bindery.directory import sessions, users
from bindery.directory.users import Role
from bindery.http.fields import VERBATIM, Customer, Email, Phone
from bindery.operators import references
from bindery.operators.resource import (
    UNCHANGED,
    Cursor,
    Id,
    Limit,
    OptionalQueryId,
    Page,
    PathId,
    QueryEmail,
    RequestBody,
    Resource,
    explained,
)
from bindery.security import passwords

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StringConstraints

handler = Resource("users")


class NewUser(RequestBody):
    """A user to create."""

    uid: Id
    account: Id
    domain: Id | None = None
    role: Role = "regular"
    home_mode: StrictBool = False
    customer: Customer | None = None
    email: Email | None = None
    phone: Phone | None = None


class Change(RequestBody):
    """The members to change. Null removes a domain, customer, email or phone."""

    role: Role = UNCHANGED
    domain: Id | None = UNCHANGED
    home_mode: StrictBool = UNCHANGED
    customer: Customer | None = UNCHANGED
    email: Email | None = UNCHANGED
    phone: Phone | None = UNCHANGED


class NewPassword(RequestBody):
    """A password. Surrounding spaces are significant."""

    password: Annotated[
        str,
        StringConstraints(
            strip_whitespace=False, min_length=passwords.SHORTEST, max_length=passwords.LONGEST, pattern=VERBATIM
        ),
        Field(repr=False),
    ]


class NewToken(RequestBody):
    """A session token to issue, with its lifetime in seconds."""

    dialect: Literal["quectel", "remoteit"]
    lifetime: Annotated[StrictInt, Field(ge=1, le=31_536_000)]


class User(BaseModel):
    """A user."""

    model_config = ConfigDict(hide_input_in_errors=True)

    uid: str
    account: str
    domain: str | None
    role: Role
    home_mode: bool
    customer: str | None
    email: str | None = None
    phone: str | None = None
    enabled: bool
    created_at: int


class Token(BaseModel):
    """A session token, which is shown only once."""

    token: str
    expires_at: int


@handler.app.post("/admin/v1/users")
def create(new: NewUser) -> User:
    """Create a user."""
    with explained({Reason.NOT_FOUND: "the account does not exist, or is being deleted"}, "account"):
        users.create(**new.model_dump(), references=references.domain(new.domain))
    return show(new.uid)


@handler.app.get("/admin/v1/users")
def list_users(
    account: OptionalQueryId = None, email: QueryEmail = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[User]:
    """List an account's users, by id, or the users with an email address. Specify at least one of the two."""
    if email is not None:
        return Page.of(users.list_with_email(email, account, limit, cursor), User.model_validate)
    if account is None:
        raise Refused(Reason.INVALID, at="account", detail="specify account, email or both")
    return Page.of(users.list_users(account, limit, cursor), User.model_validate)


@handler.app.get("/admin/v1/users/<uid>")
def show(uid: PathId) -> User:
    """Show a user."""
    return User.model_validate(users.show(uid))


@handler.app.patch("/admin/v1/users/<uid>")
def change(uid: PathId, change: Change) -> User:
    """Change a user. Another domain ends their tokens and connections."""
    members = change.specified()
    users.change(uid, references=references.domain(members.get("domain")), **members)
    return show(uid)


@handler.app.post("/admin/v1/users/<uid>/disable")
def disable(uid: PathId) -> User:
    """Disable a user: their tokens stop authenticating at once."""
    users.set_enabled(uid, False)
    return show(uid)


@handler.app.post("/admin/v1/users/<uid>/enable")
def enable(uid: PathId) -> User:
    """Enable a user again, and their tokens that were not revoked."""
    users.set_enabled(uid, True)
    return show(uid)


@handler.app.post("/admin/v1/users/<uid>/password")
def set_password(uid: PathId, new: NewPassword) -> User:
    """Set the password of a user, revoke all their tokens, and end their connections."""
    users.set_password(uid, new.password)
    return show(uid)


@handler.app.post("/admin/v1/users/<uid>/tokens")
def issue_token(uid: PathId, new: NewToken) -> Token:
    """Issue a session token."""
    token, expires_at = sessions.issue(uid, new.dialect, new.lifetime)
    return Token(token=token, expires_at=expires_at * 1000)


@handler.app.post("/admin/v1/users/<uid>/revoke-tokens")
def revoke_tokens(uid: PathId) -> User:
    """Revoke all tokens of a user, and end their connections."""
    users.revoke_sessions(uid)
    return show(uid)
