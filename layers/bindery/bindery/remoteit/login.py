"""Login (remoteit), with a developer key of the user's account."""

import hmac
from typing import NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Read
from bindery.core.errors import Reason
from bindery.directory import login_attempts, login_names, sessions
from bindery.directory.api_keys import ApiKey
from bindery.directory.login_attempts import Attempt
from bindery.registry import items
from bindery.security import secrets

LIFETIME = 7 * 24 * 3600
"""Seconds."""

REFUSES = (Reason.PASSWORD_WRONG, Reason.LOGIN_THROTTLED)


class LoggedIn(NamedTuple):
    """A session token, its expiry (seconds), and the user."""

    token: str
    expires_at: int
    user: items.User


def log_in(developer_key: ApiKey, email: str, password: str, *, source_ip: str) -> LoggedIn:
    """Log in a user of the key's account. Raises the reasons in `REFUSES`."""
    attempt, user = _begin(developer_key, email, source_ip)
    return _session(attempt.judge(password, user, aside=developer_key.used))


def log_in_by_authhash(developer_key: ApiKey, email: str, given: str, *, source_ip: str) -> LoggedIn:
    """`log_in`, with the authhash of an earlier login."""
    attempt, user = _begin(developer_key, email, source_ip)
    # Compute it for an unknown user too, so that the time reveals nothing. Users without a password have no authhash.
    right = hmac.compare_digest(authhash(user or {"uid": "", "generation": 0}).encode(), given.encode())
    return _session(attempt.settle(right and "password" in (user or {}), user, aside=developer_key.used))


def authhash(user: items.User) -> str:
    """Return a credential that is valid until the user's password is changed or their tokens are revoked."""
    # A password's hash is salted, so setting the same password again changes it too.
    parts = (user["uid"], str(user["generation"]), user.get("password", ""))
    return secrets.derive("DIRECTORY_SECRET", "authhash", *parts).hex()


def _begin(developer_key: ApiKey, email: str, source_ip: str) -> tuple[Attempt, items.User | None]:
    """Count an attempt. Return it, and the user if they may log in."""
    name = items.email_in_account(developer_key.account, email)
    attempt = login_attempts.Attempt("remoteit", developer_key.account, email, source_ip)
    found = dynamodb.get_many([Read(name), *attempt.reads])
    attempt.reserve(found)
    owner = found[name]
    # Read a user for an unknown address too: a missing round trip would reveal that it is unknown.
    user = dynamodb.get(items.user("" if owner is None else owner["uid"]))
    # The user may have been deleted, or their address changed, since the name was read.
    may_log_in = user is not None and user["enabled"] and name in login_names.names(user)
    return attempt, user if may_log_in else None


def _session(user: items.User) -> LoggedIn:
    return LoggedIn(*sessions.sign(user, "remoteit", LIFETIME), user)
