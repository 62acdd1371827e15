"""remoteit: a user of an account logs in, through an application that has a developer key of that account."""

from typing import NamedTuple

from bindery import dynamo, keyring, sessions
from bindery.directory import emails, users
from bindery.directory.keys import ApiKey
from bindery.dynamo import Read
from bindery.faults import Reason
from bindery.logins import attempts

LIFETIME = 7 * 24 * 3600
"""Seconds for which the token is good that a login gives."""

REFUSES = (Reason.PASSWORD_WRONG, Reason.LOGIN_SLOWED)
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
    attempt = attempts.Attempt("remoteit", developer_key.account, email, source_ip)
    name, *tried = dynamo.get_many([Read(place), *attempt.reads])
    attempt.reserve(*tried)
    # Nobody is looked up as well: a round trip less would tell that there is none.
    user = dynamo.get(users.key("" if name is None else name["uid"]))
    # They may have gone since their name was read.
    welcome = user is not None and user["enabled"] and place in emails.names(user)
    known = attempt.judge(password, user if welcome else None, aside=developer_key.used)
    return LoggedIn(
        *sessions.sign(known, "remoteit", LIFETIME),
        email=known["email"],
        guid=keyring.guid(known["uid"]),
        service_authhash=keyring.service_authhash(known["uid"]),
    )
