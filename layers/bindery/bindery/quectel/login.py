"""quectel: logins of an app's users, signed by the app with its domain's secret."""

import hashlib
import hmac
from typing import NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Key, Read
from bindery.core.errors import Reason, Refused
from bindery.directory import accounts, login_attempts, login_names
from bindery.quectel import domain_secrets
from bindery.registry import identity, items
from bindery.security import encryption

REFUSES = (
    Reason.USER_DOMAIN_UNKNOWN,
    Reason.SIGNATURE_INVALID,
    Reason.PASSWORD_WRONG,
    Reason.LOGIN_THROTTLED,
)
"""An early attempt is throttled before its name is looked up."""

DOMESTIC = "86"
"""Country code of phone numbers without one, as in the API's documentation."""


class Name(NamedTuple):
    """The name of a login, and the reason if no user has it."""

    signed: str
    """As sent: the beginning of the signed text."""
    counted: str
    key: Key[items.LoginName]
    unknown: Reason


def by_email(domain: str, email: str) -> Name:
    """Return an email address as a login name."""
    return Name(email, email, items.email_in_domain(domain, email), Reason.EMAIL_UNKNOWN)


def by_phone(domain: str, code: str | None, phone: str) -> Name:
    """Return a phone number as a login name. No user has a malformed one."""
    # Apps send the code with and without + or 00.
    digits = (code or DOMESTIC).lstrip("+0")
    number = identity.phone(f"+{digits}{phone}") or ""
    return Name(f"{code or ''}{phone}", number, items.phone_in_domain(domain, number), Reason.PHONE_UNKNOWN)


def log_in(domain: str, name: Name, encrypted: str, random: str, signature: str, *, source_ip: str) -> items.User:
    """Return the user. The signature covers name, password and random number. Raises `REFUSES` and `name.unknown`."""
    attempt = login_attempts.Attempt("quectel", domain, name.counted, source_ip)
    app_key = items.user_domain(domain)
    found = dynamodb.get_many([Read(app_key), Read(name.key), *attempt.reads])
    app, claimed = found[app_key], found[name.key]
    if app is None or not app["enabled"]:
        raise Refused(Reason.USER_DOMAIN_UNKNOWN)
    if not _is_signed(name.signed + encrypted + random, domain_secrets.of(app), signature):
        raise Refused(Reason.SIGNATURE_INVALID)
    attempt.reserve(found)
    if claimed is None:
        raise Refused(name.unknown)
    user_key, account_key = items.user(claimed["uid"]), items.account(claimed["account"])
    known = dynamodb.get_many([Read(user_key), Read(account_key)])
    user = known[user_key]
    # A concurrent change may have removed the user, or their name, since it was read.
    if user is None or name.key not in login_names.names(user):
        raise Refused(name.unknown)
    # A user who may not log in has no correct password.
    may_log_in = user["enabled"] and accounts.enabled(known[account_key])
    return attempt.judge(encryption.app_password(encrypted, random), user if may_log_in else None)


def _is_signed(text: str, secret: str | None, signature: str) -> bool:
    if secret is None:
        return False
    expected = hashlib.sha256((text + secret).encode()).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.lower().encode())
