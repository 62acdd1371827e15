"""quectel: logins of an app's users, signed by the app with its domain's secret."""

import hashlib
import hmac

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Key, Read
from bindery.core.errors import Reason, Refused
from bindery.directory import accounts, login_attempts
from bindery.quectel import domain_secrets
from bindery.registry import items
from bindery.security import encryption

REFUSES = (
    Reason.USER_DOMAIN_UNKNOWN,
    Reason.SIGNATURE_INVALID,
    Reason.EMAIL_UNKNOWN,
    Reason.PASSWORD_WRONG,
    Reason.LOGIN_THROTTLED,
)
"""An early attempt is throttled before its address is looked up."""


def log_in(domain: str, email: str, encrypted: str, random: str, signature: str, *, source_ip: str) -> items.User:
    """Return the user. The signature covers the arguments as sent. Raises the reasons in `REFUSES`."""
    attempt = login_attempts.Attempt("quectel", domain, email, source_ip)
    app_key, name_key = items.user_domain(domain), items.email_in_domain(domain, email)
    found = dynamodb.get_many([Read(app_key), Read(name_key), *attempt.reads])
    app, name = found[app_key], found[name_key]
    if app is None or not app["enabled"]:
        raise Refused(Reason.USER_DOMAIN_UNKNOWN)
    if not _is_signed(email + encrypted + random, domain_secrets.of(app), signature):
        raise Refused(Reason.SIGNATURE_INVALID)
    attempt.reserve(found)
    if name is None:
        raise Refused(Reason.EMAIL_UNKNOWN)
    user_key, account_key = items.user(name["uid"]), items.account(name["account"])
    known = dynamodb.get_many([Read(user_key), Read(account_key)])
    user = known[user_key]
    # A concurrent change may have removed the user, or their address, since its name was read.
    if user is None or not _has_name(user, name_key):
        raise Refused(Reason.EMAIL_UNKNOWN)
    # A user who may not log in has no correct password.
    may_log_in = user["enabled"] and accounts.enabled(known[account_key])
    return attempt.judge(encryption.app_password(encrypted, random), user if may_log_in else None)


def _has_name(user: items.User, name: Key[items.EmailName]) -> bool:
    domain, email = user["domain"], user.get("email")
    return domain is not None and email is not None and items.email_in_domain(domain, email) == name


def _is_signed(text: str, secret: str | None, signature: str) -> bool:
    if secret is None:
        return False
    expected = hashlib.sha256((text + secret).encode()).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.lower().encode())
