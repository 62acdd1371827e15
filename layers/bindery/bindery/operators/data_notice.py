"""Notice about the data stored about a person (GDPR, article 15): origin, retention and recipients.

Purposes, legal bases and the controller are the operator's to add: docs/operating.md.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from bindery.aws import dynamodb
from bindery.core import clock, env
from bindery.registry import items

BACKUP_DAYS = 35
"""Days of DynamoDB's point-in-time recovery."""

_PAGES = 5


class Category(NamedTuple):
    """A kind of data: what it is, from whom it comes, and how long it is stored."""

    what: str
    source: str
    stored: str


_DELETED = "until the user is erased"
_BOUND = "until the binding ends"

CATEGORIES: Mapping[str, Category] = MappingProxyType(
    {
        "user": Category("account, role, email address, phone number and settings", "operator", _DELETED),
        "bindings": Category("devices that the user has bound, with names", "user", _BOUND),
        "shares": Category("devices that other users share with the user", "other users", "until the share ends"),
        "families": Category("homes of which the user is owner or member", "operator", "until the user is removed"),
        "bars": Category("products whose devices the user must not bind, or no longer", "operator", "until erased"),
        "offers": Category("devices that their holders offer to the user", "other users", "until the offer ends"),
        "connections": Category(
            "connections to devices, with the client's IP address", "user", "some days after the connection ends"
        ),
        "tunnels": Category("TCP connections to devices", "user", "until the tunnel ends"),
        "presences": Category("devices' last connection: IP address, agent and times", "device", _BOUND),
        "properties": Category("the last values that the user's devices reported", "device", _BOUND),
        "service_names": Category("the user's own names of services", "user", _DELETED),
        "registrations": Category("phones registered with the bank", "user", "until the customer is erased"),
        "issued_devices": Category("cards and tokens issued to the customer", "bank", "until the customer is erased"),
        "cards_held": Category("the customer's name on cards of others", "bank", "until the customer is erased"),
        "pseudonyms": Category("random names of the person in events", "Bindery", _DELETED),
        "events": Category("what happened to the person's devices, by pseudonym", "Bindery", "{history_days} days"),
    }
)
"""By the member of an export."""


def about() -> dict[str, Any]:
    """Return what the members of an export are, who receives events, and how long logs and backups keep data."""
    days = {
        "history_days": int(env.read("HISTORY_DAYS")),
        "log_days": int(env.read("LOG_DAYS")),
        "backup_days": BACKUP_DAYS,
    }
    return {
        "exported_at": clock.now(),
        "categories": {
            name: category._replace(stored=category.stored.format_map(days))._asdict()
            for name, category in CATEGORIES.items()
        },
        "recipients": [_recipient(webhook) for webhook in dynamodb.query(items.webhooks(), round_trips=_PAGES)],
        **days,
    }


def _recipient(webhook: items.Webhook) -> dict[str, Any]:
    """Return the host of a webhook, and the types of events that it receives ([] for all)."""
    return {"host": urlsplit(webhook["url"]).hostname, "types": sorted(webhook["types"])}
