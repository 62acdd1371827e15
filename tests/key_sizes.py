"""Enforce the maximum length of keys. DynamoDB refuses longer keys in every request, moto only in some."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from tests import aws_calls
from tools import template

LIMITS = {"HASH": 2048, "RANGE": 1024}
"""Maximum length of partition and sort keys of tables and indexes, in bytes of UTF-8."""

_CONDITION = re.compile(r"#(\w+)(?: >?=|,) :(\w+)")


@cache
def limits(table: str, index: str | None = None) -> dict[str, int]:
    """Return the maximum bytes of each key attribute of a table, given its logical id, or of one of its indexes.

    Return an empty dict for a table that is not in the template.
    """
    if table not in dict(template.resources("AWS::DynamoDB::Table")):
        return {}
    properties = template.table_properties(table)
    keyed = properties if index is None else next(found for found in _indexes(table) if found["IndexName"] == index)
    return {part["AttributeName"]: LIMITS[part["KeyType"]] for part in keyed["KeySchema"]}


@cache
def written(table: str) -> dict[str, int]:
    """Return the maximum bytes of each attribute of an item that is a key of the table or of any of its indexes."""
    found = limits(table)
    if not found:
        return found
    for index in _indexes(table):
        found = {
            **found,
            **{name: min(limit, found.get(name, limit)) for name, limit in limits(table, index["IndexName"]).items()},
        }
    return found


def _indexes(table: str) -> list[dict[str, Any]]:
    return list(template.table_properties(table).get("GlobalSecondaryIndexes", ()))


def install() -> None:
    """Enforce the limits on every call."""
    aws_calls.before.append(_check)


def _check(service: str, operation: str, request: dict[str, Any]) -> None:
    for name, size, limit in _sizes(request) if service == "dynamodb" else ():
        if size > limit:
            message = f"One or more parameter values were invalid: {name} has {size} bytes, over {limit}"
            raise aws_calls.error("ValidationException", message=message)


def _sizes(params: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
    """Yield name, size and limit of each key attribute in a request."""
    if "TransactItems" in params:
        for member in params["TransactItems"]:
            (request,) = member.values()
            yield from _sizes(request)
    elif "RequestItems" in params:
        for table, asked in params["RequestItems"].items():
            for key in asked["Keys"]:
                yield from _of(limits(table), key)
    elif "KeyConditionExpression" in params:
        values = params["ExpressionAttributeValues"]
        named = _CONDITION.findall(params["KeyConditionExpression"])
        place = limits(params["TableName"], params.get("IndexName"))
        yield from _of(place, {name: values[f":{value}"] for name, value in named})
    else:
        values = {name.removeprefix(":"): value for name, value in params.get("ExpressionAttributeValues", {}).items()}
        yield from _of(written(params["TableName"]), values | params.get("Key", {}) | params.get("Item", {}))


def _of(limits: dict[str, int], attributes: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
    for name, limit in limits.items():
        if name in attributes:
            yield name, len(attributes[name].get("S", "").encode(errors="surrogatepass")), limit
