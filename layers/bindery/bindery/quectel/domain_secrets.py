"""Secrets of user domains (quectel), with which apps sign logins."""

import secrets

from bindery import directory
from bindery.quectel import user_domains
from bindery.quectel.user_domains import Binders
from bindery.registry import items
from bindery.security import encryption

SHORTEST, LONGEST = 8, 128
"""Characters of a chosen secret."""


def create(domain: str, secret: str | None = None, *, enabled: bool = True, binders: Binders = "everyone") -> str:
    """Create a user domain and return its secret. Raises `ALREADY_EXISTS`."""
    secret = secret or _random()
    user_domains.create(domain, enabled=enabled, binders=binders, sealed_secret=_encrypt(domain, secret))
    return secret


def replace(domain: str, secret: str | None = None) -> str:
    """Replace and return a domain's secret. Raises `NOT_FOUND`."""
    secret = secret or _random()
    members: items.UserDomain = {"sealed_secret": _encrypt(domain, secret)}
    directory.change(items.user_domain(domain), members)
    return secret


def of(domain: items.UserDomain) -> str | None:
    """Return a domain's secret, if any."""
    sealed = domain.get("sealed_secret")
    return None if sealed is None else encryption.decrypt(sealed, "domain", domain["domain"])


def _random() -> str:
    return secrets.token_hex(32)


def _encrypt(domain: str, secret: str) -> str:
    return encryption.encrypt(secret, "domain", domain)
