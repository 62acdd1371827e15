"""What is in the tables."""

from typing import Any

import boto3

from bindery import settings
from bindery.attributes import decode
from bindery.dynamo import Table


def items(table: Table) -> list[dict[str, Any]]:
    """Every item of a table, sorted by key."""
    client = boto3.client("dynamodb")
    found = [
        decode(item)
        for page in client.get_paginator("scan").paginate(TableName=settings.read(table.value), ConsistentRead=True)
        for item in page["Items"]
    ]
    return sorted(found, key=lambda item: (item["pk"], item.get("sk", "")))


def everything() -> dict[str, list[dict[str, Any]]]:
    """Every item of every table: what a refusal must leave as it was."""
    return {table.name: items(table) for table in Table}
