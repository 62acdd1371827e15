"""/admin/v1/accounts: tenants."""

from typing import Annotated

from bindery.core.errors import Reason
from bindery.directory import accounts, rates
from bindery.operators import deletion
from bindery.operators.resource import (
    Cascade,
    Cursor,
    Deletion,
    Id,
    Limit,
    Name,
    Page,
    PathId,
    RateLimit,
    RequestBody,
    Resource,
    explained,
)
from bindery.registry import identity, items

from pydantic import BaseModel, Field, StrictInt

handler = Resource("accounts")


class NewAccount(RequestBody):
    """An account to create."""

    account: Id
    name: Name


class Spread(RequestBody):
    """Number of partitions of the device list."""

    parts: Annotated[StrictInt, Field(ge=2, le=identity.PARTS)]


class Account(BaseModel):
    """An account. `parts` is only that of a spread device list (rufus), and `deleting_at` that of a deletion."""

    account: str
    name: str
    enabled: bool
    parts: int | None = Field(None, exclude_if=lambda parts: parts is None)
    deleting_at: int | None = Field(None, exclude_if=lambda at: at is None)
    created_at: int
    per_second: int | None = None
    burst: int | None = None


@handler.app.post("/admin/v1/accounts")
def create(new: NewAccount) -> Account:
    """Create an account."""
    accounts.create(new.account, name=new.name)
    return show(new.account)


@handler.app.get("/admin/v1/accounts")
def list_accounts(limit: Limit = 50, cursor: Cursor = None) -> Page[Account]:
    """List accounts, by id."""
    return Page.of(accounts.list_accounts(limit, cursor), Account.model_validate)


@handler.app.get("/admin/v1/accounts/<account>")
def show(account: PathId) -> Account:
    """Show an account."""
    return Account.model_validate(accounts.show(account))


@handler.app.post("/admin/v1/accounts/<account>/disable")
def disable(account: PathId) -> Account:
    """Disable an account: its keys and its users' tokens stop authenticating at once."""
    accounts.set_enabled(account, False)
    return show(account)


@handler.app.post("/admin/v1/accounts/<account>/enable")
def enable(account: PathId) -> Account:
    """Enable an account again."""
    accounts.set_enabled(account, True)
    return show(account)


@handler.app.post("/admin/v1/accounts/<account>/spread")
def spread(account: PathId, body: Spread) -> Account:
    """Spread an account's device list over more partitions, for more than some hundred first binds a second."""
    fewer = "The device list of the account already has more parts. Their number can only grow."
    with explained({Reason.STATUS_NOT_VALID: fewer}):
        accounts.spread(account, body.parts)
    return show(account)


@handler.app.put("/admin/v1/accounts/<account>/limit")
def limit(account: PathId, rate: RateLimit) -> Account:
    """Limit the requests per second of an account's users, who use quectel or remoteit."""
    rates.limit(items.account(account), rate.per_second, rate.burst)
    return show(account)


@handler.app.delete("/admin/v1/accounts/<account>/limit")
def lift_limit(account: PathId) -> Account:
    """Remove the limit of an account."""
    rates.lift(items.account(account))
    return show(account)


@handler.app.delete("/admin/v1/accounts/<account>")
def delete(account: PathId, cascade: Cascade = False) -> Deletion:
    """Delete an account without users, keys and devices."""
    return Deletion.model_validate(deletion.account(account, cascade=cascade)._asdict())
