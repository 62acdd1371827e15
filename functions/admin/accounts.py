"""/admin/v1/accounts: tenants."""

from pydantic import BaseModel

from bindery.directory import accounts, rates
from bindery.operators.resource import Cursor, Id, Limit, Name, Page, PathId, RateLimit, RequestBody, Resource
from bindery.registry import items

handler = Resource("accounts")


class NewAccount(RequestBody):
    """An account to create."""

    account: Id
    name: Name


class Account(BaseModel):
    """An account."""

    account: str
    name: str
    enabled: bool
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
