"""`bindery users`."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from tools.cli.command import All, Context, Limit, changes, command, confidential, group, listed

app = group("Manage the users in an account.")

User = Annotated[str, typer.Argument(help="User id.")]
Domain = Annotated[str | None, typer.Option(help="User domain (quectel). '' removes it.", show_default=False)]
Customer = Annotated[
    str | None,
    typer.Option(help="Customer id, as in the issuer's tokens (asseco). '' removes it.", show_default=False),
]
Email = Annotated[str | None, typer.Option(help="Email address to log in with. '' removes it.", show_default=False)]
HomeMode = Annotated[
    bool | None, typer.Option("--home-mode/--no-home-mode", help="Home mode (quectel).", show_default=False)
]


class RoleName(StrEnum):
    """Role of a user in their domain."""

    REGULAR = "regular"
    ADMINISTRATOR = "administrator"


class Dialect(StrEnum):
    """API that accepts a session token."""

    QUECTEL = "quectel"
    REMOTEIT = "remoteit"


Role = Annotated[RoleName | None, typer.Option(help="Role in the domain (quectel).", show_default=False)]


@command(app, done="Created user {uid} in account {account}.")
def create(
    context: Context,
    user: User,
    account: Annotated[str, typer.Option(help="Account id.")],
    domain: Domain = None,
    role: Role = None,
    home_mode: HomeMode = None,
    customer: Customer = None,
    email: Email = None,
) -> Any:
    """Create a user."""
    members = {"domain": domain, "role": role, "home_mode": home_mode, "customer": customer, "email": email}
    given = {name: value for name, value in members.items() if value is not None}
    return context.api.post("users", uid=user, account=account, **given)


@command(
    app,
    name="list",
    columns={"USER": "uid", "DOMAIN": "domain", "ROLE": "role", "EMAIL": "email", "ENABLED": "enabled"},
)
def page(
    context: Context,
    account: Annotated[str, typer.Argument(help="Account id.")],
    limit: Limit = 50,
    everything: All = False,
) -> Any:
    """List an account's users, sorted by id."""
    return listed(context.api, "users", limit=limit, everything=everything, account=account)


@command(app)
def show(context: Context, user: User) -> Any:
    """Show a user."""
    return context.api.get("users", user)


@command(app)
def change(
    context: Context,
    user: User,
    role: Role = None,
    domain: Domain = None,
    home_mode: HomeMode = None,
    customer: Customer = None,
    email: Email = None,
) -> Any:
    """Change the specified fields. A change of domain invalidates the user's session tokens."""
    given = changes(role=role, domain=domain, home_mode=home_mode, customer=customer, email=email)
    return context.api.ask("PATCH", "users", user, body=given)


@command(app, done="Disabled user {uid}. Their tokens no longer work.")
def disable(context: Context, user: User) -> Any:
    """Disable a user. Their tokens stop working immediately."""
    return context.api.post("users", user, "disable")


@command(app, done="Enabled user {uid}.")
def enable(context: Context, user: User) -> Any:
    """Enable a disabled user."""
    return context.api.post("users", user, "enable")


@command(app, done="Set the password of user {uid}.")
def password(context: Context, user: User) -> Any:
    """Set a user's password, entered at a prompt or on standard input."""
    return context.api.post("users", user, "password", password=confidential("Password"))


@command(app, once="token", done="Created a {dialect} session token for user {user}, valid until {expires_at}.")
def token(
    context: Context,
    user: User,
    dialect: Annotated[Dialect, typer.Option(help="API that accepts the token.")],
    lifetime: Annotated[int, typer.Option(min=1, help="Lifetime in seconds.")] = 3600,
) -> Any:
    """Create a session token. It is shown only once."""
    return context.api.post("users", user, "tokens", dialect=dialect, lifetime=lifetime)


@command(app, done="Revoked all session tokens of user {uid} and ended their connections.")
def revoke_tokens(context: Context, user: User) -> Any:
    """Revoke all existing session tokens of a user, and end their connections."""
    return context.api.post("users", user, "revoke-tokens")
