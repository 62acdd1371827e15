"""`bindery users`."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from tools.cli.client import Client
from tools.cli.command import All, Limit, changes, command, confidential, group, listed

app = group("Users: the persons in an account.")

User = Annotated[str, typer.Argument(help="The user's id.")]
Domain = Annotated[str | None, typer.Option(help="quectel: the user domain. '' takes it away.", show_default=False)]
Customer = Annotated[
    str | None, typer.Option(help="asseco: whom the bank's issuer names. '' takes it away.", show_default=False)
]
Email = Annotated[
    str | None, typer.Option(help="The address by which the user logs in. '' takes it away.", show_default=False)
]
HomeMode = Annotated[
    bool | None, typer.Option("--home-mode/--no-home-mode", help="quectel: home mode.", show_default=False)
]
Role = Annotated[str | None, typer.Option(help="quectel: the role in the domain.", show_default=False)]


class Dialect(StrEnum):
    """Which API a session token opens."""

    QUECTEL = "quectel"
    REMOTEIT = "remoteit"


@command(app)
def create(
    api: Client,
    user: User,
    account: Annotated[str, typer.Option(help="The account's id.")],
    domain: Domain = None,
    role: Role = None,
    home_mode: HomeMode = None,
    customer: Customer = None,
    email: Email = None,
) -> Any:
    """Enter a user."""
    members = {"domain": domain, "role": role, "home_mode": home_mode, "customer": customer, "email": email}
    given = {name: value for name, value in members.items() if value is not None}
    return api.post("users", uid=user, account=account, **given)


@command(app, name="list")
def page(
    api: Client,
    account: Annotated[str, typer.Argument(help="The account's id.")],
    limit: Limit = 50,
    everything: All = False,
) -> Any:
    """List an account's users, by id."""
    return listed(api, "users", limit=limit, everything=everything, account=account)


@command(app)
def show(api: Client, user: User) -> Any:
    """Show one."""
    return api.get("users", user)


@command(app)
def change(
    api: Client,
    user: User,
    role: Role = None,
    domain: Domain = None,
    home_mode: HomeMode = None,
    customer: Customer = None,
    email: Email = None,
) -> Any:
    """Change what is given. Moving a user to another domain ends their tokens."""
    given = changes(role=role, domain=domain, home_mode=home_mode, customer=customer, email=email)
    return api.ask("PATCH", "users", user, body=given)


@command(app)
def disable(api: Client, user: User) -> Any:
    """Let a user in nowhere; their tokens stop authenticating at once."""
    return api.post("users", user, "disable")


@command(app)
def enable(api: Client, user: User) -> Any:
    """Let a user in again."""
    return api.post("users", user, "enable")


@command(app)
def password(api: Client, user: User) -> Any:
    """Give a user a password: asked for on a terminal, else the first line of the standard input."""
    return api.post("users", user, "password", password=confidential("Password"))


@command(app, once="token")
def token(
    api: Client,
    user: User,
    dialect: Annotated[Dialect, typer.Option(help="Which API it opens.")],
    lifetime: Annotated[int, typer.Option(min=1, help="For how many seconds.")] = 3600,
) -> Any:
    """Issue a session token. It is shown this once."""
    return api.post("users", user, "tokens", dialect=dialect, lifetime=lifetime)


@command(app)
def revoke_tokens(api: Client, user: User) -> Any:
    """Make every token issued to a user so far worthless, and end their connections."""
    return api.post("users", user, "revoke-tokens")
