"""`bindery users`."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from tools.cli import history as events
from tools.cli import output
from tools.cli.client import Exit, Failure
from tools.cli.command import All, Context, Limit, changes, command, confidential, group, listed
from tools.cli.resource import Resource

app = group("Manage users: create, find, change and disable them.")

User = Annotated[str, typer.Argument(help="User id.")]
Domain = Annotated[str | None, typer.Option(help="User domain (quectel). '' removes it.", show_default=False)]
Customer = Annotated[
    str | None,
    typer.Option(help="Customer id, as in the issuer's tokens (asseco). '' removes it.", show_default=False),
]
Email = Annotated[str | None, typer.Option(help="Email address to log in with. '' removes it.", show_default=False)]
Phone = Annotated[
    str | None,
    typer.Option(
        help="Phone number to log in with (quectel), with its country code. '' removes it.", show_default=False
    ),
]
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
users = Resource(app, "users", user=User)


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
    phone: Phone = None,
) -> Any:
    """Create a user."""
    members = {"domain": domain, "role": role, "home_mode": home_mode, "customer": customer}
    given = {name: value for name, value in (members | {"email": email, "phone": phone}).items() if value is not None}
    return context.api.post("users", uid=user, account=account, **given)


LISTED: output.Columns = {
    "USER": "uid",
    "ACCOUNT": "account",
    "DOMAIN": "domain",
    "ROLE": "role",
    "EMAIL": "email",
    "ENABLED": "enabled",
}


@command(app, name="list", columns=LISTED)
def list_users(
    context: Context,
    account: Annotated[
        str | None, typer.Argument(help="Account id. Optional with --email.", show_default=False)
    ] = None,
    email: Annotated[
        str | None,
        typer.Option(help="Email address, in any spelling. Without ACCOUNT: of all accounts.", show_default=False),
    ] = None,
    limit: Limit = 50,
    everything: All = False,
) -> Any:
    """List an account's users, sorted by id, or the users with an email address."""
    if account is None and email is None:
        raise Failure(Exit.USAGE, "specify an account, --email or both")
    return listed(context.api, "users", limit=limit, everything=everything, account=account, email=email)


users.show("Show a user.")


@command(app, columns=events.ALL)
def history(context: Context, user: User, limit: Limit = 50, everything: All = False) -> Any:
    """Show the events that concern a user, oldest first, and the user's pseudonym in them."""
    return events.of_person(context.api, "users", user, limit=limit, everything=everything)


@command(app)
def change(
    context: Context,
    user: User,
    role: Role = None,
    domain: Domain = None,
    home_mode: HomeMode = None,
    customer: Customer = None,
    email: Email = None,
    phone: Phone = None,
) -> Any:
    """Change the specified fields. A change of domain invalidates the user's session tokens."""
    given = changes(role=role, domain=domain, home_mode=home_mode, customer=customer, email=email, phone=phone)
    return context.api.ask("PATCH", "users", user, body=given)


users.action(
    "disable",
    "Disable a user. Their tokens stop working immediately.",
    done="Disabled user {uid}. Their tokens no longer work.",
)
users.action("enable", "Enable a disabled user.", done="Enabled user {uid}.")


@command(app, done="Set the password of user {uid}.")
def password(context: Context, user: User) -> Any:
    """Set a user's password, entered at a prompt or on standard input. Their sessions and connections end."""
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


users.action(
    "revoke-tokens",
    "Revoke all existing session tokens of a user, and end their connections.",
    done="Revoked all session tokens of user {uid} and ended their connections.",
)
