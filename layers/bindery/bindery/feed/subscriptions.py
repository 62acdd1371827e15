"""Webhooks and the types of events that they want. Apart from `webhooks`, because the recorder needs no encryption."""

from bindery.aws import dynamodb
from bindery.registry import items

EVERY_TYPE = "*"


def every() -> list[items.Webhook]:
    """Return all webhooks, by id."""
    return list(dynamodb.query(items.webhooks(), consistent=True))


def find(webhook: str) -> items.Webhook | None:
    """Return a webhook, or None."""
    return dynamodb.get(items.webhook(webhook))


def is_wanted(webhook: items.Webhook, event: items.Event) -> bool:
    """Return True if a webhook wants events of this type, and this one was recorded since then."""
    types = webhook["types"]
    since = [types[name] for name in (event["type"], EVERY_TYPE) if name in types]
    return bool(since) and items.recorded_at(event) >= min(since)


def wants_type(webhook: items.Webhook, name: str) -> bool:
    """Return True if a webhook wants events of a type."""
    return not webhook["types"].keys().isdisjoint((name, EVERY_TYPE))
