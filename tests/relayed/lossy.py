"""The local server, whose device link loses, duplicates, delays and reorders messages of streams."""

import random
from collections.abc import Iterable
from functools import partial

from tools.local import serve
from tools.local.link import Direction, LinkGateway

KINDS = ('"type":"open"', '"type":"data"', '"type":"ack"', '"type":"need"', '"type":"still"')


def faults(direction: Direction, text: str, chance: random.Random = random.Random(1)) -> Iterable[float]:  # noqa: B008
    """Return the delays of a message's copies."""
    if not any(kind in text.replace(" ", "")[:100] for kind in KINDS):
        return (0,)
    copies = chance.choices([0, 1, 2], [3, 77, 20])[0]
    return [chance.uniform(0, 0.05) for _ in range(copies)]


if __name__ == "__main__":
    serve.LinkGateway = partial(LinkGateway, faults=faults)  # type: ignore[attr-defined,assignment,misc]
    serve.main()
