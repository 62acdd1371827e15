"""How long keys may be: DynamoDB refuses longer ones wherever they stand, moto in some requests alone."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from botocore.exceptions import ClientError
from botocore.handlers import BUILTIN_HANDLERS

from tools import template

LIMITS = {"HASH": 2048, "RANGE": 1024}
"""Bytes of UTF-8 of a partition key and of a sort key, in tables and in indexes."""

_CONDITION = re.compile(r"#(\w+)(?: >?=|,) :(\w+)")


@cache
def limits(table: str, index: str | None = None) -> dict[str, int]:
    """By attribute how many bytes it may have in the key of a table, by its logical id, or of one of its indexes.

    Of tables that tests call something else, nothing is known.
    """
    if table not in dict(template.resources("AWS::DynamoDB::Table")):
        return {}
    properties = template.table_properties(table)
    keyed = properties if index is None else next(found for found in _indexes(table) if found["IndexName"] == index)
    return {part["AttributeName"]: LIMITS[part["KeyType"]] for part in keyed["KeySchema"]}


@cache
def written(table: str) -> dict[str, int]:
    """By attribute how many bytes it may have in an item: as the key of any of the indexes takes it too."""
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
    """Hold the calls of every client made from now on to the limits."""
    for operation in ("GetItem", "BatchGetItem", "Query", "PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"):
        BUILTIN_HANDLERS.append((f"before-parameter-build.dynamodb.{operation}", _check))


def _check(params: dict[str, Any], model: Any, **_: Any) -> None:
    for name, size, limit in _sizes(params):
        if size > limit:
            message = f"One or more parameter values were invalid: {name} has {size} bytes, over {limit}"
            raise ClientError({"Error": {"Code": "ValidationException", "Message": message}}, model.name)


def _sizes(params: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
    """Of each part of a key in a request its name, its size and its limit."""
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
