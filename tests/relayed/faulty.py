"""The local server, whose device link loses, repeats, delays and reorders messages, and loses each `$disconnect`."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tools import template
from tools.local import serve
from tools.local.link import Direction, LinkGateway

LOST, REPEATED, DELAY = 0.1, 0.5, 0.15
KINDS = ("open", "data", "ack", "need", "still")

_random = random.Random(18)


class Lost(template.Function):
    """A function that is never invoked."""

    def load(self) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
        return lambda event, context: {"statusCode": 200}


def faults(direction: Direction, text: str) -> Sequence[float]:
    """Return the delays of a stream message's copies."""
    if not any(f'"type":"{kind}"' in text[:40].replace(" ", "") for kind in KINDS):
        return (0,)
    copies = 0 if _random.random() < LOST else 2 if _random.random() < REPEATED else 1
    return [_random.uniform(0, DELAY) for _ in range(copies)]


def faulty(functions: Mapping[str, template.Function], fixed: Mapping[str, str]) -> LinkGateway:
    lost = {"$disconnect": Lost("Lost", "lost.handler", (), {}, ())}
    return LinkGateway({**functions, **lost}, fixed, faults=faults)


if __name__ == "__main__":
    serve.LinkGateway = faulty  # type: ignore[assignment,misc]
    serve.main()
