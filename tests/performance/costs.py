"""Costs of a request in DynamoDB and in the log: calls, request units, items read, bytes written, bytes logged.

Successful calls are counted by the consumed capacity that the engine reports for each table and index. In a batch of
reads, each item is one unit, and in a transaction of reads two. Refused writes consume capacity too, but it is not
reported: two units for each item of a transaction and one for a single write, because all items here are smaller than a
kilobyte (which is asserted), and none in an index.
"""

import base64
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import boto3

from bindery.aws.errors import ServiceError
from tests import aws_calls

_READS = {"GetItem", "Query"}


class Cost:
    """The calls of one request, in order."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.read: Counter[str] = Counter()
        self.write: Counter[str] = Counter()
        self.items_read = 0
        self.bytes_read = 0
        self.written: list[tuple[str, dict[str, Any]]] = []

    def units(self) -> dict[str, dict[str, float]]:
        return {"read units": dict(sorted(self.read.items())), "write units": dict(sorted(self.write.items()))}

    def report(self, log: list[str] | None) -> dict[str, Any]:
        """Return all costs, including the current size of the written items and of the request's log line."""
        logged = {} if log is None else {"bytes logged": _line_size(*log)}
        return {
            "calls": self.calls,
            **self.units(),
            "items read": self.items_read,
            "bytes read": self.bytes_read,
            "bytes written": sum(_stored(*each) for each in self.written),
            **logged,
        }


_current: ContextVar[Cost | None] = ContextVar("_current", default=None)


@contextmanager
def counting() -> Iterator[Cost]:
    """Count the calls in this context."""
    cost = Cost()
    token = _current.set(cost)
    try:
        yield cost
    finally:
        _current.reset(token)


@cache
def install() -> None:
    """Make all calls of this process report to `counting`."""
    aws_calls.before.append(_before)
    aws_calls.after.append(_after)


def _before(service: str, operation: str, request: dict[str, Any]) -> None:
    cost = _current.get()
    if cost is not None and service == "dynamodb":
        request["ReturnConsumedCapacity"] = "INDEXES"
        cost.calls.append(operation)


def _after(service: str, operation: str, request: dict[str, Any], answer: dict[str, Any] | ServiceError) -> None:
    cost = _current.get()
    if cost is None or service != "dynamodb":
        return
    if isinstance(answer, ServiceError):
        for table, _key in keys(request):
            cost.write[table] += 2 if "TransactItems" in request else 1
        return
    if operation in ("BatchGetItem", "TransactGetItems"):
        cost.read += _batch(request, answer)
    else:
        billed = answer["ConsumedCapacity"]
        for table in billed if isinstance(billed, list) else [billed]:
            units = cost.read if operation in _READS else cost.write
            for name, used in _by_index(table).items():
                units[name] += max(used, _large(request, answer)) if operation in _READS else used
    found = _found(answer)
    cost.items_read += len(found)
    cost.bytes_read += sum(map(size, found))
    cost.written += keys(request)


def _by_index(table: Mapping[str, Any]) -> dict[str, float]:
    """Return the capacity consumed by a table, and by each of its indexes as `table/index`."""
    name = table["TableName"].rpartition("/")[2]
    indexes = {
        f"{name}/{index}": used["CapacityUnits"] for index, used in table.get("GlobalSecondaryIndexes", {}).items()
    }
    found = {name: table["CapacityUnits"] - sum(indexes.values())} | indexes
    return {name: used for name, used in found.items() if used}


def _large(request: Mapping[str, Any], answer: Mapping[str, Any]) -> float:
    """Return the units of a read with large items, whose size the engine leaves out."""
    whole = math.ceil(sum(map(size, _found(dict(answer)))) / 4096)
    return whole if request.get("ConsistentRead") else whole / 2


def _batch(params: Mapping[str, Any], parsed: Mapping[str, Any]) -> Counter[str]:
    """Return the units of a batch or a transaction, which the engine does not report: for each key, found or not."""
    assert all(size(item) <= 4096 for item in _found(parsed)), "an item exceeds one read unit"
    if "TransactItems" in params:
        return Counter(2 * [member["Get"]["TableName"] for member in params["TransactItems"]])
    return Counter({table: len(asked["Keys"]) for table, asked in params["RequestItems"].items()})


def _found(parsed: Mapping[str, Any]) -> list[dict[str, Any]]:
    if isinstance(parsed.get("Responses"), list):
        return [found["Item"] for found in parsed["Responses"] if "Item" in found]
    if "Responses" in parsed:
        return [item for items in parsed["Responses"].values() for item in items]
    return [parsed["Item"]] if "Item" in parsed else parsed.get("Items", [])


def keys(params: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the table and key of each item that a call writes or checks."""
    members = [member for item in params.get("TransactItems", []) for member in item.items()]
    requests = [request for kind, request in members if kind != "Get"]
    if "Item" in params or "UpdateExpression" in params:
        requests = [params]
    return [(request["TableName"], request.get("Key") or _key_of(request["Item"])) for request in requests]


def _key_of(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: item[name] for name in ("pk", "sk") if name in item}


def _stored(table: str, key: dict[str, Any]) -> int:
    """Return the current size of a written item, or 0 if it was deleted."""
    item = boto3.client("dynamodb").get_item(TableName=table, Key=key, ConsistentRead=True).get("Item", {})
    assert size(item) < 1024, "an item exceeds one write unit"
    return size(item)


def size(item: Mapping[str, Any]) -> int:
    """Return approximately DynamoDB's item size: names and values, with numbers by their count of digits."""
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S" | "N":
            return len(content.encode())
        case "B":
            return len(base64.b64decode(content))
        case "SS":
            return sum(len(text.encode()) for text in content)
        case "L":
            return 3 + sum(1 + _value_size(element) for element in content)
        case "M":
            return 3 + sum(1 for _ in content) + size(content)
    return 1


def _line_size(line: str) -> int:
    """Return the size of a log line, independent of the number of digits of its latency."""
    return len(json.dumps(json.loads(line) | {"Latency": 0.0}, separators=(",", ":")).encode())
