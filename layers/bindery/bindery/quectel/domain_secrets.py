"""The secrets of user domains (quectel): what an app signs its users' logins with.

Apps in the field carry theirs, so it cannot be replaced by a hash: it is kept sealed, and shown when it is given only.
"""

import secrets

from bindery import directory
from bindery.aws.dynamodb import Item
from bindery.quectel import user_domains
from bindery.quectel.user_domains import Binders
from bindery.security import encryption

SHORTEST, LONGEST = 8, 128
"""Characters of a secret that an operator gives."""


def create(domain: str, secret: str | None = None, *, enabled: bool = True, binders: Binders = "everyone") -> str:
    """Enter a user domain with a secret, a random one unless it is given, and return that. Raises `ALREADY_EXISTS`."""
    secret = secret or _random()
    user_domains.create(domain, enabled=enabled, binders=binders, sealed_secret=_sealed(domain, secret))
    return secret


def replace(domain: str, secret: str | None = None) -> str:
    """Give a domain another secret, a random one unless it is given; the last is worthless at once.

    Returns the secret. Raises `NOT_FOUND`.
    """
    secret = secret or _random()
    directory.change(user_domains.key(domain), {"sealed_secret": _sealed(domain, secret)})
    return secret


def of(record: Item) -> str | None:
    """The secret of a domain whose record was read; none if it was entered without."""
    sealed = record.get("sealed_secret")
    return None if sealed is None else encryption.decrypt(sealed, "domain", record["domain"])


def _random() -> str:
    return secrets.token_hex(32)


def _sealed(domain: str, secret: str) -> str:
    return encryption.encrypt(secret, "domain", domain)
