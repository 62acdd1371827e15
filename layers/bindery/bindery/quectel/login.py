"""quectel: a user of an app (a user domain) logs in; the app signs what it sends with the domain's secret."""

import hashlib
import hmac

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Item, Read
from bindery.core.errors import Reason, Refused
from bindery.directory import accounts, emails, login_attempts, users
from bindery.quectel import domain_secrets, user_domains
from bindery.security import encryption

ACCESS_LIFETIME = 2 * 3600
"""Seconds for which the token is good that a login gives."""
REFRESH_LIFETIME = 30 * 24 * 3600
"""Seconds for which the other one is."""

REFUSES = (
    Reason.USER_DOMAIN_UNKNOWN,
    Reason.SIGNATURE_INVALID,
    Reason.EMAIL_UNKNOWN,
    Reason.PASSWORD_WRONG,
    Reason.LOGIN_THROTTLED,
)
"""What a login may be refused for, in the order of the checks; what comes too early is told before who exists."""


def log_in(domain: str, email: str, encrypted: str, random: str, signature: str, *, source_ip: str) -> Item:
    """The record of the user who logs in, everything as the app sent it: the signature is over these very texts.

    Four round trips. A disabled domain is none, and one without a secret takes no signature; a disabled user and one
    without a password have no right password. Raises the reasons in `REFUSES`.
    """
    attempt = login_attempts.Attempt("quectel", domain, email, source_ip)
    app, name, *tried = dynamodb.get_many(
        [Read(user_domains.key(domain)), Read(emails.in_domain(domain, email)), *attempt.reads]
    )
    if app is None or not app["enabled"]:
        raise Refused(Reason.USER_DOMAIN_UNKNOWN)
    if not _signed(email + encrypted + random, domain_secrets.of(app), signature):
        raise Refused(Reason.SIGNATURE_INVALID)
    attempt.reserve(*tried)
    user: Item | None = None
    account: Item | None = None
    if name is not None:
        user, account = dynamodb.get_many([Read(users.key(name["uid"])), Read(accounts.key(name["account"]))])
    # They may have gone since their name was read.
    if user is None or emails.in_domain(domain, email) not in emails.names(user):
        raise Refused(Reason.EMAIL_UNKNOWN)
    welcome = user["enabled"] and accounts.enabled(account)
    return attempt.judge(encryption.app_password(encrypted, random), user if welcome else None)


def _signed(text: str, secret: str | None, signature: str) -> bool:
    if secret is None:
        return False
    expected = hashlib.sha256((text + secret).encode()).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.lower().encode())
