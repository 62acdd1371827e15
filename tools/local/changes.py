"""Changes of the registry's tables, for the change feed: what DynamoDB's streams and Lambda's polling are on AWS.

Each changed item is a record with a position: 1, 2, 3 and so on, without gaps. `BinderyFeed.Read` returns the records
after a position, and deletes those up to it. ministack's own streams do not survive the process, so they are replaced.
"""

import asyncio
import json
from collections import deque
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

from ministack.services import dynamodb

READ = "BinderyFeed.Read"
"""`x-amz-target` of a request for records: `{"after": position, "limit": 100, "wait": seconds}`."""
TABLES = ("BindingsTable", "DevicesTable", "DirectoryTable")
"""Tables with a stream."""
LIMIT = 100
"""Maximum records of a response."""
MAX_WAIT = 20
"""Maximum seconds that a request waits for a record."""

Item = dict[str, Any]


class Change(NamedTuple):
    """A changed item. It shares its images with the table, which replaces items and never modifies them."""

    time: int
    """Milliseconds since 1970."""
    arn: str
    """The table's."""
    event: str
    old: Item | None
    new: Item | None


class Changes:
    """Changes that have not been consumed."""

    def __init__(self) -> None:
        """Replace ministack's streams."""
        self._request: list[tuple[str, str, Item | None, Item | None]] = []
        """Changes of the current request."""
        self._kept: deque[Change] = deque()
        self.consumed = 0
        """Position of the last change before those that are kept."""
        self._readable = 0
        """Position of the last change that is on disk."""
        self._released = asyncio.Event()
        dynamodb._emit_stream_event = self._capture

    def _capture(self, table: str, event: str, old: Item | None, new: Item | None, replicate: bool = True) -> None:
        # DynamoDB has no record either for a write that changes nothing.
        if table in TABLES and old != new:
            self._request.append((dynamodb._tables[table]["TableArn"], event, old, new))

    def discard(self) -> None:
        """Discard the changes of a request."""
        self._request.clear()

    def keep(self, time: int) -> int:
        """Keep the changes of a request, and return the position of the last change."""
        self._kept.extend(Change(time, *each) for each in self._request)
        self._request.clear()
        return self.consumed + len(self._kept)

    def release(self, position: int) -> None:
        """Let changes be read, once they are on disk."""
        if position > self._readable:
            self._readable = position
            self._released.set()

    def consume(self, position: int) -> None:
        """Delete the changes up to a position."""
        while self.consumed < position:
            self._kept.popleft()
            self.consumed += 1

    async def answer(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Respond to a request for records."""
        try:
            asked = json.loads(body)
            after, limit = int(asked["after"]), max(1, min(int(asked.get("limit", LIMIT)), LIMIT))
            wait = min(float(asked.get("wait", 0)), MAX_WAIT)
        except (ValueError, TypeError, KeyError, AttributeError):
            return 400, {}, b"{}"
        return 200, {}, json.dumps(await self.read(after, limit, wait)).encode()

    async def read(self, after: int, limit: int, wait: float) -> dict[str, Any]:
        """Return up to `limit` records after a position, and the position of the last. Delete those up to `after`."""
        # A position that was not reached yet is that of another registry, so this one's records are all unread.
        if after <= self._readable:
            self.consume(after)
            await self._wait(wait)
        count = min(limit, self._readable - self.consumed)
        records = [
            _record(position, change) for position, change in enumerate(islice(self._kept, count), self.consumed + 1)
        ]
        return {"records": records, "position": self.consumed + len(records)}

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._readable == self.consumed:
                    self._released.clear()
                    await self._released.wait()

    def get_state(self) -> dict[str, Any]:
        """Return what the snapshot contains. The stop that saves it has put all changes on disk."""
        return {"consumed": self.consumed, "kept": list(self._kept)}

    def load_persisted_state(self, saved: dict[str, Any]) -> None:
        """Restore a snapshot."""
        self.consumed = saved["consumed"]
        self._kept.extend(Change(*each) for each in saved["kept"])
        self._readable = self.consumed + len(self._kept)


def _record(position: int, change: Change) -> dict[str, Any]:
    """Return a record as Lambda gets it. It must be the same after a restart."""
    image = change.new or change.old or {}
    content = {
        "ApproximateCreationDateTime": change.time / 1000,
        "Keys": {name: image[name] for name in ("pk", "sk") if name in image},
        "SequenceNumber": f"{position:021}",
        "SizeBytes": sum(dynamodb._item_size_bytes(each) for each in (change.old, change.new) if each),
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }
    images = {"OldImage": change.old, "NewImage": change.new}
    return {
        # The time makes it unique even if an older release has dropped the position.
        "eventID": f"local-{position}-{change.time}",
        "eventName": change.event,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": change.arn.split(":")[3],
        "dynamodb": content | {name: each for name, each in images.items() if each is not None},
        "eventSourceARN": f"{change.arn}/stream/2026-01-01T00:00:00.000",
    }
