"""Login (remoteit), with a developer key of the user's account."""

from typing import NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Read
from bindery.core.errors import Reason
from bindery.directory import emails, login_attempts, sessions
from bindery.directory.api_keys import ApiKey
from bindery.registry import items
from bindery.security import secrets

LIFETIME = 7 * 24 * 3600
"""Seconds."""

REFUSES = (Reason.PASSWORD_WRONG, Reason.LOGIN_THROTTLED)


class LoggedIn(NamedTuple):
    """A session token, its expiry (seconds), and the user's identifiers."""

    token: str
    expires_at: int
    email: str
    guid: str
    service_authhash: str


def log_in(developer_key: ApiKey, email: str, password: str, *, source_ip: str) -> LoggedIn:
    """Log in a user of the key's account. Raises the reasons in `REFUSES`."""
    name = items.email_in_account(developer_key.account, email)
    attempt = login_attempts.Attempt("remoteit", developer_key.account, email, source_ip)
    found = dynamodb.get_many([Read(name), *attempt.reads])
    attempt.reserve(found)
    owner = found[name]
    # Read a user for an unknown address too: a missing round trip would reveal that it is unknown.
    user = dynamodb.get(items.user("" if owner is None else owner["uid"]))
    # The user may have been deleted, or their address changed, since the name was read.
    may_log_in = user is not None and user["enabled"] and name in emails.names(user)
    verified = attempt.judge(password, user if may_log_in else None, aside=developer_key.used)
    return LoggedIn(
        *sessions.sign(verified, "remoteit", LIFETIME),
        email=verified["email"] or email,
        guid=secrets.guid(verified["uid"]),
        service_authhash=secrets.service_authhash(verified["uid"]),
    )
