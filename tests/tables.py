"""Read the content of the tables."""

from typing import Any

import boto3
from moto.core.models import botocore_stubber

from bindery.aws import dynamodb
from bindery.aws.attribute_values import decode
from bindery.aws.dynamodb import Key, Table
from bindery.core import env
from bindery.registry import items
from tests import moto_registry

Tables = dict[str, list[dict[str, Any]]]

NOTHING: Tables = {table.name: [] for table in Table}


def stored(table: Table) -> list[dict[str, Any]]:
    """Return every item of a table, sorted by key."""
    found = moto_registry.items_of(table) if botocore_stubber.enabled else _scanned(table)
    return sorted(found, key=lambda item: (item["pk"], item.get("sk", "")))


def _scanned(table: Table) -> list[dict[str, Any]]:
    pages = boto3.client("dynamodb").get_paginator("scan")
    return [
        decode(item)
        for page in pages.paginate(TableName=env.read(table.value), ConsistentRead=True)
        for item in page["Items"]
    ]


def item_at(key: Key[Any]) -> dict[str, Any]:
    """Return an item that exists."""
    found = dynamodb.get(key)
    assert found is not None
    return dict(found)


def everything() -> Tables:
    """Return every item that a refused request must not change: all but failure counts and the storage format."""
    marker = items.STORAGE_FORMAT.pk
    return {
        table.name: [item for item in stored(table) if not counts_misses(item) and item["pk"] != marker]
        for table in Table
    }


def acts_in(tables: Tables) -> list[dict[str, Any]]:
    """Return the operators' acts."""
    return [item for item in tables["BINDINGS"] if item["sk"].startswith("act#")]


def without_acts(tables: Tables) -> list[dict[str, Any]]:
    """Return the items of the bindings table that are no operators' acts."""
    return [item for item in tables["BINDINGS"] if not item["sk"].startswith("act#")]


def counts_misses(item: dict[str, Any]) -> bool:
    """True if an item only counts failed guesses."""
    return bool(item["pk"].startswith("attempts#"))
