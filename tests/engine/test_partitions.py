"""Queries of the local registry's large partitions."""

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.engine.changes import use
from tools.local.engine import Engine

ADDED, REMOVED = ("b#00005", "b#9999"), ("a#0001", "b#0007")
KEYS = sorted(
    {f"{group}#{number:04}" for group in ("a", "b", "bé", "c") for number in range(275)}.union(ADDED) - {*REMOVED}
)


@pytest.fixture(autouse=True)
def _partition(engine: Engine, environment: pytest.MonkeyPatch) -> None:
    """Make a partition of over 1,000 items with `KEYS`, queried before each of its last changes."""
    use(engine, environment)
    client = boto3.client("dynamodb")
    first = [_item(key) for key in reversed([*KEYS, *REMOVED]) if key not in ADDED]
    for number in range(0, len(first), 25):
        rows = [{"PutRequest": {"Item": item}} for item in first[number : number + 25]]
        client.batch_write_item(RequestItems={"DirectoryTable": rows})
    for added, removed in zip(ADDED, REMOVED, strict=True):
        _query("")
        client.put_item(TableName="DirectoryTable", Item=_item(added) | {"count": {"N": "1"}})
        client.put_item(TableName="DirectoryTable", Item=_item(added))
        client.delete_item(TableName="DirectoryTable", Key=_item(removed))
        client.delete_item(TableName="DirectoryTable", Key=_item("none"))


def _item(key: str) -> dict[str, dict[str, str]]:
    return {"pk": {"S": "partition"}, "sk": {"S": key}}


def _query(condition: str, **request: Any) -> dict[str, Any]:
    values = {":sk": {"S": "b#"}} if ":sk" in condition else {}
    return boto3.client("dynamodb").query(
        TableName="DirectoryTable",
        KeyConditionExpression=f"#pk = :pk{condition}",
        ExpressionAttributeNames={"#pk": "pk"} | ({"#sk": "sk"} if condition else {}),
        **{"ExpressionAttributeValues": {":pk": {"S": "partition"}} | values} | request,
    )


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize(
    ("condition", "keys"),
    [
        ("", KEYS),
        (" AND begins_with(#sk, :sk)", [key for key in KEYS if key.startswith("b#")]),
        (" AND #sk >= :sk", [key for key in KEYS if key >= "b#"]),
        (" AND #sk < :sk", [key for key in KEYS if key < "b#"]),
    ],
)
def test_pages_are_the_range_in_order(condition: str, keys: list[str], forward: bool) -> None:
    found, place = [], {}
    while place is not None:
        page = _query(condition, Limit=100, ScanIndexForward=forward, **place)
        found += [item["sk"]["S"] for item in page["Items"]]
        place = {"ExclusiveStartKey": page["LastEvaluatedKey"]} if "LastEvaluatedKey" in page else None
    assert found == (keys if forward else keys[::-1])
    assert _query(condition)["Count"] == len(keys)


@pytest.mark.parametrize(
    "request_",
    [
        {"ExpressionAttributeValues": {":other": {"S": "partition"}}},
        {"ExpressionAttributeValues": {":pk": {"N": "1"}}},
        {"ExclusiveStartKey": {"pk": {"S": "partition"}}},
    ],
)
def test_wrong_requests_are_refused(request_: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        _query("", **request_)
