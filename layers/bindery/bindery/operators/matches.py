"""Descriptions of found records: kind, id, state, and a few facts."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from bindery.core import clock
from bindery.feed import chain
from bindery.registry import identity, items
from bindery.registry.bindings import Mode

Fact = str | int | None


class Match(NamedTuple):
    """A record, and how the text identifies it."""

    kind: str
    named: str
    id: str
    state: str
    facts: Mapping[str, Fact]


Describe = Callable[[str, Any], Match | None]
"""Returns the match for an item, or None if it has expired."""


def device(named: str, item: items.Device) -> Match:
    """Describe a device."""
    parts = identity.parts(item["pk"])
    states = [
        *([f"{item.get('ban_kind', 'banned')}: {item['ban_reason']}"] if "banned_at" in item else ()),
        *(["disabled"] if "disabled" in item else ()),
        *(["inactive"] if "inactive" in item else ()),
    ]
    facts: dict[str, Fact] = {name: parts[name] for name in ("account", "product_key", "imei", "mac") if name in parts}
    if "serial" in item:
        facts["serial"] = item["serial"]
    return Match(
        "device", named, identity.opaque(item["pk"]), ", ".join(states) or "active", {"api": parts["dialect"], **facts}
    )


def user(named: str, item: items.User) -> Match:
    """Describe a user."""
    return Match("user", named, item["uid"], _enabled(item), {"account": item["account"], "domain": item["domain"]})


def account(named: str, item: items.Account) -> Match:
    """Describe an account."""
    return Match("account", named, item["account"], _enabled(item), {"name": item["name"]})


def product(named: str, item: items.Product) -> Match:
    """Describe a product."""
    return Match(
        "product", named, item["product_key"], "exists", {"name": item["name"], "mode": Mode(item["mode"]).name.lower()}
    )


def user_domain(named: str, item: items.UserDomain) -> Match:
    """Describe a user domain."""
    return Match("user domain", named, item["domain"], _enabled(item), {"binders": item["binders"]})


def family(named: str, item: items.Family) -> Match:
    """Describe a family."""
    return Match("family", named, item["fid"], "exists", {"owner": item["owner"]})


def key(named: str, item: items.ApiKey) -> Match:
    """Describe an API key or developer key."""
    ended = 0 < item.get("expires_at", 0) <= clock.now()
    if "revoked_at" in item:
        state = "revoked"
    elif ended:
        state = "expired"
    else:
        state = "valid" if item["account_enabled"] else "account disabled"
    facts: dict[str, Fact] = {
        "api": item["kind"],
        "account": item["account"],
        "alias": item["alias"],
        "grant": item["grant"],
        "last_used": item.get("last_used"),
    }
    return Match("key", named, item["pk"].removeprefix("key#"), state, facts)


def webhook(named: str, item: items.Webhook) -> Match:
    """Describe a webhook."""
    state = "enabled" if item["enabled"] else f"disabled: {item['disabled_reason']}"
    return Match("webhook", named, item["id"], state, {"url": item["url"]})


def event(named: str, item: items.Event) -> Match | None:
    """Describe an event."""
    if not chain.unexpired([item]):
        return None
    facts: dict[str, Fact] = {"at": item["at"], "chain": chain.public_name(item["chain"])}
    return Match("event", named, item["id"], item["type"], facts)


def connection(named: str, item: items.Connection) -> Match | None:
    """Describe a connection that has not expired."""
    if item["expires_at"] <= clock.seconds():
        return None
    facts: dict[str, Fact] = {
        "device": identity.opaque(item["pk"]),
        "caller": item["caller"],
        "expires_at": item["expires_at"] * 1000,
    }
    return Match("connection", named, item["connection"], "not expired", facts)


def _enabled(item: Mapping[str, Any]) -> str:
    return "enabled" if item["enabled"] else "disabled"
