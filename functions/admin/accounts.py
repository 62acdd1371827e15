"""/admin/v1/accounts: tenants."""

from bindery.directory import accounts
from bindery.operators.resource import Cursor, Id, Limit, Name, Page, PathId, RequestBody, Resource

from pydantic import BaseModel

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
