"""Webhooks: URLs to which events are delivered."""

import secrets
from collections.abc import Sequence

from bindery import directory
from bindery.aws import dynamodb
from bindery.aws.dynamodb import CursorPage
from bindery.aws.expressions import Condition, absent, equals, exists
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.feed import sending, signatures
from bindery.feed.subscriptions import EVERY_TYPE, every
from bindery.registry import acts, items
from bindery.security import encryption

LIMIT = 20
"""Maximum number of webhooks. Two that are created at the same moment may exceed it."""

SECRETS_LIMIT = 5
"""Maximum number of valid secrets of a webhook."""

OVERLAP = 24 * 3600
"""Seconds for which a replaced secret still signs."""

GONE = "The receiver responded with 410 Gone."
"""Reason for which deliveries disable a webhook."""


def create(url: str, types: Sequence[str]) -> tuple[str, str]:
    """Create a webhook for types of events, or for all, and return its id and secret.

    It receives events that are recorded from now on. Raises `INVALID` or `LIMIT_REACHED`.
    """
    sending.check(url)
    if len(every()) >= LIMIT:
        raise Refused(Reason.LIMIT_REACHED)
    webhook, secret = f"wh_{secrets.token_hex(8)}", signatures.new_secret()
    now = clock.now()
    facts: items.Webhook = {
        "id": webhook,
        "url": url,
        "types": dict.fromkeys(types or [EVERY_TYPE], now),
        "enabled": True,
        "enabled_at": now,
        "secrets": [{"sealed": _encrypt(webhook, secret)}],
        "created_at": now,
    }
    dynamodb.write(items.webhook(webhook).put(facts, when=absent().raises(Reason.CONFLICT)))
    return webhook, secret


def list_webhooks(limit: int, cursor: str | None) -> CursorPage[items.Webhook]:
    """Return a page of webhooks, by id."""
    return dynamodb.page(items.webhooks(), limit, cursor)


def show(webhook: str) -> items.Webhook:
    """Return a webhook. Raises `NOT_FOUND`."""
    return directory.show(items.webhook(webhook))


def change_types(webhook: str, types: Sequence[str]) -> None:
    """Replace the types of events, or deliver all. Types that are new apply to events recorded from now on.

    Raises `NOT_FOUND` or, after a concurrent change, `CONFLICT`.
    """
    found = show(webhook)
    before, now = found["types"], clock.now()
    since = {name: min(before.get(name, now), before.get(EVERY_TYPE, now)) for name in types or [EVERY_TYPE]}
    if not types:
        # Until now, only these types were wanted.
        since |= {name: at for name, at in before.items() if at < since[EVERY_TYPE]}
    members: items.Webhook = {"types": since}
    directory.change(items.webhook(webhook), members, _unchanged(found, "types"))


def enable(webhook: str) -> None:
    """Deliver events again, beginning with those that were not delivered while disabled. Raises `NOT_FOUND`."""
    members: items.Webhook = {"enabled": True, "enabled_at": clock.now()}
    dynamodb.write(items.webhook(webhook).update(set=members, remove=["disabled_reason"], when=directory.EXISTS))


def disable(webhook: str, reason: str) -> None:
    """Keep events instead of delivering them. Raises `NOT_FOUND`."""
    members: items.Webhook = {"enabled": False, "disabled_reason": reason}
    directory.change(items.webhook(webhook), members)


def disable_gone(webhook: items.Webhook) -> None:
    """Disable a webhook whose receiver no longer exists. Raises `NOT_FOUND` if it was enabled again or deleted."""
    unchanged = exists() & equals("enabled_at", webhook["enabled_at"])
    members: items.Webhook = {"enabled": False, "disabled_reason": GONE}
    directory.change(items.webhook(webhook["id"]), members, unchanged.raises(Reason.NOT_FOUND))


def delete(webhook: str) -> None:
    """Delete a webhook, and what it would still receive. Raises `NOT_FOUND`."""
    # Its cursors are deleted when they become due, or expire with their events.
    key = items.webhook(webhook)
    dynamodb.transact([key.delete(when=directory.EXISTS), *acts.deleted(key, "webhook", webhook)])


def rotate(webhook: str) -> str:
    """Replace and return the secret. The replaced one also signs for 24 hours.

    Raises `NOT_FOUND`, `LIMIT_REACHED` or, after a concurrent change, `CONFLICT`.
    """
    found, secret = show(webhook), signatures.new_secret()
    current, *others = valid_secrets(found)
    until = clock.seconds() + OVERLAP
    kept: list[items.WebhookSecret] = [{"sealed": _encrypt(webhook, secret)}, {**current, "until": until}, *others]
    if len(kept) > SECRETS_LIMIT:
        raise Refused(Reason.LIMIT_REACHED)
    members: items.Webhook = {"secrets": kept, "rotated_at": clock.now()}
    directory.change(items.webhook(webhook), members, _unchanged(found, "rotated_at"))
    return secret


def valid_secrets(webhook: items.Webhook) -> list[items.WebhookSecret]:
    """Return the secrets that sign now, the current one first."""
    now = clock.seconds()
    return [each for each in webhook["secrets"] if "until" not in each or each["until"] > now]


def signing_secrets(webhook: items.Webhook) -> list[str]:
    """Return the decrypted secrets that sign now, the current one first."""
    return [encryption.decrypt(secret["sealed"], "webhook", webhook["id"]) for secret in valid_secrets(webhook)]


def _unchanged(webhook: items.Webhook, name: str) -> Condition:
    """Condition: the webhook exists, and an attribute has not changed since it was read."""
    same = equals(name, webhook[name]) if name in webhook else absent(name)  # type: ignore[literal-required]
    gone = Reason.NOT_FOUND
    return (exists() & same).raises(lambda existing: Reason.CONFLICT if existing else gone)


def _encrypt(webhook: str, secret: str) -> str:
    return encryption.encrypt(secret, "webhook", webhook)
