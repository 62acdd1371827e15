"""A request through a label costs what was recorded: at the relay, and for the device's messages."""

from collections import Counter
from typing import Any

import pytest

from tests.performance import costs, recorded
from tests.relay import Faults, Message, World, plain

BODIES = {"small": b"hello", "1 MB": bytes(1_000_000)}
LIMITS = {"posts": 1, "device messages": 1, "polls": 3}
"""Of a small request."""

costs.install()


def serve(request: bytes) -> list[bytes | float]:
    """Return the body that a request's path names."""
    return [plain(BODIES[request.split(b" ", 2)[1].decode().strip("/").replace("-", " ")])]


def ask(world: World, name: str) -> dict[str, Any]:
    """Return the costs of a request."""
    messages: list[Message] = []
    posted = len(world.agent.got)
    world.agent.drop = lambda message: bool(messages.append(message))  # type: ignore[func-returns-value]
    with costs.counting() as cost:
        answer = world.ask(path="/" + name.replace(" ", "-"))
    assert (answer.status, answer.body == BODIES[name]) == (200, True)
    posts = len(world.agent.got) - posted
    return {
        "posts": posts,
        "device messages": len(messages) - posts,
        "polls": cost.calls.count("Query") - 1,
        "calls": dict(Counter(cost.calls)),
        **cost.units(),
    }


@pytest.mark.usefixtures("engine")
def test_relay_costs_match_the_recorded_costs() -> None:
    world = World(serve, faults=Faults(delay=0))
    found = {name: ask(world, name) for name in BODIES}
    recorded.hold("relay", found)
    assert all(found["small"][name] <= limit for name, limit in LIMITS.items())
