"""A request to every resource of the admin API, in order, on the demo data."""

from typing import Any

from tests.performance.stories import Story, World

ASKED: dict[str, dict[str, Any] | None] = {
    "accounts": None,
    "keys": None,
    "users": {"uid": "zoe", "account": "acme", "email": "zoe@example.com"},
    "domains": {"domain": "lab", "enabled": True, "binders": "everyone"},
    "products": {"product_key": "lamp", "name": "Lamp", "module_type": "FC41D"},
    "families": None,
    "devices": None,
    "issued_devices": None,
    "settings": None,
    "connections": None,
    "find": None,
    "history": None,
    # An address, because no host name can be looked up here.
    "webhooks": {"url": "https://8.8.8.8/bindery", "types": ["device.bound"]},
    "privacy": None,
    "doctor": None,
}
"""Request body by resource, if the sample event's body would conflict with the demo data."""


def admin(world: World) -> Story:
    for resource, body in ASKED.items():
        yield "success", f"admin.{resource}", world.sample(f"admin.{resource}", body=body)
