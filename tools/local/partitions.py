"""Queries of the local registry's large partitions.

DynamoDB reads the range that a query asks for. ministack copies, sorts and examines the whole partition, which takes
seconds with 100,000 items and holds up all other requests. So it gets only the range, as if there were nothing else.
"""

import re
from bisect import bisect_left, bisect_right, insort
from typing import Any, NamedTuple

from ministack.services import dynamodb

LARGE = 1_000
"""Items of a partition from which its keys are kept in order."""
CONDITION = re.compile(
    r"#\w+ = (?P<partition>:\w+)"
    r"(?: AND begins_with\(#\w+, (?P<prefix>:\w+)\)| AND #\w+ >= (?P<start>:\w+))?"
)
"""Key conditions of the layer's queries. Queries with others, or of an index, are left to ministack."""
LAST = "\U0010ffff"
"""Sorts after every character of a key."""

Item = dict[str, Any]


class Ordered(NamedTuple):
    """A large partition, and its sort keys in order. They are strings in all tables."""

    items: dict[str, Item]
    keys: list[str]


class Partitions:
    """The large partitions that were queried, by their table's ARN and their key."""

    def __init__(self) -> None:
        """Replace ministack's query, and follow its writes."""
        self._ordered: dict[tuple[str, str], Ordered] = {}
        self._query = dynamodb._query
        self._set_item = dynamodb._set_item
        self._remove_item = dynamodb._remove_item
        dynamodb._query = self._query_range
        dynamodb._set_item = self._add
        dynamodb._remove_item = self._remove

    def _add(self, table: Item, partition: str, key: str, item: Item) -> Item | None:
        old: Item | None = self._set_item(table, partition, key, item)
        if old is None and (keys := self._known(table, partition)):
            insort(keys, key)
        return old

    def _remove(self, table: Item, partition: str, key: str) -> Item | None:
        keys = self._known(table, partition)
        old: Item | None = self._remove_item(table, partition, key)
        if old is not None and keys:
            del keys[bisect_left(keys, key)]
        return old

    def _query_range(self, request: dict[str, Any]) -> Any:
        condition = CONDITION.fullmatch(request.get("KeyConditionExpression", ""))
        table = dynamodb._tables.get(request.get("TableName"))
        if condition is None or table is None or "IndexName" in request:
            return self._query(request)
        given = {name: value.get("S") for name, value in request.get("ExpressionAttributeValues", {}).items()}
        partition, prefix, start = (given.get(name, "") for name in condition.group("partition", "prefix", "start"))
        after = request.get("ExclusiveStartKey", {}).get(table["sk_name"], {}).get("S", "")
        items = table["items"].get(partition, {})
        if len(items) < LARGE:
            return self._query(request)
        keys = self._known(table, partition)
        if keys is None:
            keys = sorted(items)
            self._ordered[table["TableArn"], partition] = Ordered(items, keys)
        first, end = bisect_left(keys, max(prefix, start)), bisect_right(keys, prefix + LAST)
        if request.get("ScanIndexForward", True):
            first = max(first, bisect_right(keys, after))
            end = min(end, first + request.get("Limit", end))
        else:
            end = min(end, bisect_left(keys, after) if after else end)
            first = max(first, end - request.get("Limit", end))
        table["items"][partition] = {key: items[key] for key in keys[first:end]}
        try:
            return self._query(request)
        finally:
            table["items"][partition] = items

    def _known(self, table: Item, partition: str) -> list[str] | None:
        ordered = self._ordered.get((table["TableArn"], partition))
        # ministack replaces a partition that was emptied, and all partitions when it undoes a PartiQL transaction.
        return ordered.keys if ordered and ordered.items is table["items"].get(partition) else None
