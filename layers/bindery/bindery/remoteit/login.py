"""remoteit: a user of an account logs in, through an application that has a developer key of that account."""

from typing import NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Read
from bindery.core.errors import Reason
from bindery.directory import emails, login_attempts, sessions, users
from bindery.directory.api_keys import ApiKey
from bindery.security import secrets

LIFETIME = 7 * 24 * 3600
"""Seconds for which the token is good that a login gives."""

REFUSES = (Reason.PASSWORD_WRONG, Reason.LOGIN_THROTTLED)
"""What a login may be refused for."""


class LoggedIn(NamedTuple):
    """A session token, the second at which it expires, and what the API tells of the user whose it is."""

    token: str
    expires_at: int
    email: str
    guid: str
    service_authhash: str


def log_in(developer_key: ApiKey, email: str, password: str, *, source_ip: str) -> LoggedIn:
    """A session for a user of the developer key's account, by their email address.

    Four round trips. Nobody, a user of another account, one who is disabled and one without a password take as long as
    a wrong password. Raises the reasons in `REFUSES`.
    """
    place = emails.in_account(developer_key.account, email)
    attempt = login_attempts.Attempt("remoteit", developer_key.account, email, source_ip)
    name, *tried = dynamodb.get_many([Read(place), *attempt.reads])
    attempt.reserve(*tried)
    # Nobody is looked up as well: a round trip less would tell that there is none.
    user = dynamodb.get(users.key("" if name is None else name["uid"]))
    # They may have gone since their name was read.
    welcome = user is not None and user["enabled"] and place in emails.names(user)
    known = attempt.judge(password, user if welcome else None, aside=developer_key.used)
    return LoggedIn(
        *sessions.sign(known, "remoteit", LIFETIME),
        email=known["email"],
        guid=secrets.guid(known["uid"]),
        service_authhash=secrets.service_authhash(known["uid"]),
    )
