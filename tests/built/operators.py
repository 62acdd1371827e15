"""A request to every resource of the operators, one after the other, over the demo data."""

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
    "privacy": None,
    "doctor": None,
}
"""By resource what its sample event is sent with instead of its own body, where the demo data has that already."""


def admin(world: World) -> Story:
    for resource, body in ASKED.items():
        yield "success", f"admin.{resource}", world.sample(f"admin.{resource}", body=body)
