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
"""Key conditions of the layer's queries. Queries with others are left to ministack."""
LAST = "\U0010ffff"
"""Sorts after every character of a key."""

Object = dict[str, Any]
Place = tuple[str, ...]
"""Values of the attributes by which a partition is in order. They are strings in all tables and indexes."""


class Ordered(NamedTuple):
    """A large partition, as ministack has it, and its members' places in order."""

    members: Object
    places: list[Place]


class Partitions:
    """The large partitions that were queried, by their table's ARN, index and key."""

    def __init__(self) -> None:
        """Replace ministack's query, and follow its writes."""
        self._ordered: dict[tuple[str, str | None, str], Ordered] = {}
        self._query = dynamodb._query
        self._index_item = dynamodb._index_item
        dynamodb._query = self._query_range
        dynamodb._index_item = self._follow

    def _follow(self, table: Object, pk: str, sk: str, item: Object, add: bool) -> None:
        """Add or remove an item. ministack replaces an item by removing and adding it."""
        self._index_item(table, pk, sk, item, add)
        indexes = [(name, dynamodb._index_partition(item, *keys)) for name, *keys in dynamodb._index_key_schemas(table)]
        for index, partition in ((None, pk), *indexes):
            places = self._known(table, index, partition)
            if places is None:
                continue
            place = _place(item, _order(table, index))
            if add:
                insort(places, place)
            elif (at := bisect_left(places, place)) < len(places) and places[at] == place:
                del places[at]

    def _query_range(self, request: Object) -> Any:
        condition = CONDITION.fullmatch(request.get("KeyConditionExpression", ""))
        table, index = dynamodb._tables.get(request.get("TableName")), request.get("IndexName")
        if condition is None or table is None or not (index is None or dynamodb._index_def(table, index)):
            return self._query(request)
        given = {name: value.get("S", "") for name, value in request.get("ExpressionAttributeValues", {}).items()}
        partition, prefix, start = (given.get(name, "") for name in condition.group("partition", "prefix", "start"))
        partitions, order = _partitions(table, index), _order(table, index)
        members = partitions.get(partition, {})
        if len(members) < LARGE:
            return self._query(request)
        places = self._known(table, index, partition)
        if places is None:
            items = [table["items"][pk][sk] for pk, sk in members] if index else members.values()
            places = sorted(_place(item, order) for item in items)
            self._ordered[table["TableArn"], index, partition] = Ordered(members, places)
        first, end = bisect_left(places, (max(prefix, start),)), bisect_right(places, (prefix + LAST,))
        after = _place(request.get("ExclusiveStartKey", {}), order)
        if request.get("ScanIndexForward", True):
            first = max(first, bisect_right(places, after))
            end = min(end, first + request.get("Limit", end))
        else:
            end = min(end, bisect_left(places, after) if after else end)
            first = max(first, end - request.get("Limit", end))
        found = [place[-2:] if index else place[-1] for place in places[first:end]]
        partitions[partition] = {member: members[member] for member in found}
        try:
            return self._query(request)
        finally:
            partitions[partition] = members

    def _known(self, table: Object, index: str | None, partition: str) -> list[Place] | None:
        ordered = self._ordered.get((table["TableArn"], index, partition))
        # ministack replaces a partition that was emptied, and all partitions when it undoes a PartiQL transaction.
        return ordered.places if ordered and ordered.members is _partitions(table, index).get(partition) else None


def _partitions(table: Object, index: str | None) -> Object:
    """Return ministack's partitions: items by sort key, or an index's references by the table's keys."""
    partitions: Object = table["items"] if index is None else dynamodb._index_members(table)[index]
    return partitions


def _order(table: Object, index: str | None) -> list[str]:
    """Return the attributes by which a partition is in order."""
    if index is None:
        return [table["sk_name"]]
    _, ranges = dynamodb._index_key_lists(dynamodb._index_def(table, index))
    return [name for name, _ in dynamodb._index_order_keys(table, ranges)]


def _place(item: Object, order: list[str]) -> Place:
    return tuple(item[name]["S"] for name in order if name in item)
