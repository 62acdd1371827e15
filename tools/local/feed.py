"""The change feed of the local server: what event source mappings and a schedule do on AWS.

`feed.record` gets the changes that the registry serves (`tools.local.changes`) in order, in batches of one table, or
several at the same time if the mapping says so. How far it got is stored in the history table after each batch, so a
change is delivered again, with the same id, if the server was killed in between. A batch that fails is repeated from
the record that failed. If the function does not say which, the batch is halved until one record is left. A record that
always fails is given up.
"""

import asyncio
import json
import logging
import zlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from itertools import groupby
from typing import Any, TypeVar

import httpx

from bindery.aws import dynamodb
from bindery.core.errors import Refused
from bindery.registry import items
from tools import template
from tools.local import event_filters
from tools.local.gateway import Functions

ATTEMPTS = 20
"""Attempts before a record is given up."""
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
"""Seconds before an attempt is repeated: doubled for each further one, up to the longest."""
SCHEDULE_SECONDS = 1.0
"""Pause between deliveries of what is due. On AWS it is a minute."""
WAIT_SECONDS = 20
"""Time for which the registry waits for a change."""

Record = dict[str, Any]
Handler = Callable[[dict[str, Any]], Any]
T = TypeVar("T")

logger = logging.getLogger("bindery.feed")


class Feed:
    """Reads the changes and invokes `feed.record`."""

    def __init__(self, registry: str, handler: Handler) -> None:
        """`registry` is the registry's endpoint."""
        self._registry = registry
        self._handler = handler

    async def run(self) -> None:
        """Read and deliver changes until it is cancelled."""
        # The registry is on this machine, so neither a proxy nor certificates are needed.
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=WAIT_SECONDS + 10) as client:  # noqa: S501
            position = await _patiently(partial(asyncio.to_thread, _stored))
            while True:
                answer = await _patiently(partial(self._read, client, position))
                await self._handle(answer["records"])
                if answer["position"] != position:
                    position = answer["position"]
                    await _patiently(partial(asyncio.to_thread, _store, position))

    async def _read(self, client: httpx.AsyncClient, position: int) -> dict[str, Any]:
        asked = {"after": position, "wait": WAIT_SECONDS}
        answer = await client.post(self._registry, headers={"x-amz-target": "BinderyFeed.Read"}, json=asked)
        if answer.status_code != HTTPStatus.OK:
            # Not the URL, which is the registry's credential.
            raise RuntimeError(f"the registry responded with {answer.status_code}")
        found: dict[str, Any] = answer.json()
        return found

    async def _handle(self, records: Sequence[Record]) -> None:
        """Deliver the records that pass the filters, until all are handled or given up."""
        wanted = [record for record in records if event_filters.passes(_table(record), record)]
        for table, group in groupby(wanted, _table):
            parts: dict[int, list[Record]] = {}
            for record in group:
                parts.setdefault(_part(record, event_filters.at_once()[table]), []).append(record)
            async with asyncio.TaskGroup() as deliveries:
                for part in parts.values():
                    deliveries.create_task(self._deliver(part))

    async def _deliver(self, batch: list[Record]) -> None:
        attempts = 0
        while batch:
            handled = await self._attempt(batch)
            if handled is None and len(batch) > 1:
                # As on AWS, this does not count as an attempt.
                half = len(batch) // 2
                await self._deliver(batch[:half])
                batch = batch[half:]
                continue
            if handled:
                batch, attempts = batch[handled:], 0
            if not batch:
                return
            attempts += 1
            if attempts < ATTEMPTS:
                await asyncio.sleep(_pause(attempts))
            else:
                _give_up(batch[0], attempts)
                batch, attempts = batch[1:], 0

    async def _attempt(self, batch: list[Record]) -> int | None:
        """Return how many records were handled before the first that failed, or None if the function failed."""
        numbers = [record["dynamodb"]["SequenceNumber"] for record in batch]
        try:
            answer = await asyncio.to_thread(self._handler, json.loads(json.dumps({"Records": batch})))
            failed = [each["itemIdentifier"] for each in (answer or {}).get("batchItemFailures") or ()]
            return min(map(numbers.index, failed), default=len(batch))
        except Exception:
            # Lambda repeats a batch whatever the exception.
            logger.exception("feed.record failed")
            return None


def tasks(registry: str, functions: Functions) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
    """Return what runs beside the server, by what it is. `registry` is the registry's endpoint."""
    record, deliverer = (partial(functions.run, template.function(name)) for name in ("feed.record", "feed.deliver"))
    return {
        "the change feed": Feed(registry, record).run,
        "the delivery of events": partial(deliver, deliverer),
    }


async def deliver(handler: Handler) -> None:
    """Invoke `feed.deliver` on a schedule until it is cancelled."""
    while True:
        try:
            await asyncio.to_thread(handler, {})
        except Exception:
            # Nor does a failure end the schedule on AWS.
            logger.exception("feed.deliver failed")
        await asyncio.sleep(SCHEDULE_SECONDS)


async def _patiently(call: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Repeat a call while the registry is not reachable. If it has ended, the server ends too."""
    attempts = 0
    while True:
        try:
            return await call()
        except (httpx.TransportError, Refused):
            attempts += 1
            await asyncio.sleep(_pause(attempts))


def _pause(attempts: int) -> float:
    return min(FIRST_PAUSE * 2.0 ** (attempts - 1), LONGEST_PAUSE)


def _give_up(record: Mapping[str, Any], attempts: int) -> None:
    """Log what Lambda would send to the queue of failures."""
    number = record["dynamodb"]["SequenceNumber"]
    batch = {
        "startSequenceNumber": number,
        "endSequenceNumber": number,
        "batchSize": 1,
        "streamArn": record["eventSourceARN"],
    }
    logger.error("feed.record gave up a change after %s attempts: %s", attempts, json.dumps(batch))


def _part(record: Mapping[str, Any], parts: int) -> int:
    """Return the part of a batch to which a record belongs: changes of an item stay in order."""
    return zlib.crc32(json.dumps(record["dynamodb"]["Keys"]).encode()) % parts


def _table(record: Mapping[str, Any]) -> str:
    """Return the name of a record's table."""
    return str(record["eventSourceARN"].split("/")[1])


def _stored() -> int:
    """Return how far the changes were handled."""
    found = dynamodb.get(items.FEED_POSITION)
    return found["position"] if found else 0


def _store(position: int) -> None:
    dynamodb.write(items.FEED_POSITION.put({"position": position}))
