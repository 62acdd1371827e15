"""Deliveries to a webhook, as operators see them."""

import re

from bindery.aws import dynamodb
from bindery.aws.dynamodb import CursorPage
from bindery.core.errors import Reason, Refused
from bindery.feed import webhooks
from bindery.registry import items

_CURSOR = re.compile("[0-9]{13}#[0-9a-f]{32}")
"""Sort key of the first entry of a page."""


def deliveries(webhook: str, limit: int, cursor: str | None) -> CursorPage[items.Delivery]:
    """Return a page of the attempts to deliver events, newest first. Raises `NOT_FOUND` or `INVALID`."""
    if cursor is not None and _CURSOR.fullmatch(cursor) is None:
        raise Refused(Reason.INVALID)
    webhooks.show(webhook)
    pages = [dynamodb.page(items.deliveries(webhook, shard, cursor), limit + 1) for shard in range(items.SHARDS)]
    found = sorted((attempt for page in pages for attempt in page.items), key=lambda attempt: attempt["sk"])
    return CursorPage(found[:limit], found[limit]["sk"] if len(found) > limit else None)


def dead_letters(webhook: str, limit: int, cursor: str | None) -> CursorPage[items.DeadLetter]:
    """Return a page of the events that were not accepted in time, oldest first. Raises `NOT_FOUND` or `INVALID`."""
    webhooks.show(webhook)
    return dynamodb.page(items.all_dead(webhook), limit, cursor)
