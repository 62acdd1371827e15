"""Queries of the local registry's large partitions."""

from collections.abc import Callable
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
        client.batch_write_item(RequestItems={"HistoryTable": rows})
    for added, removed in zip(ADDED, REMOVED, strict=True):
        _query("")
        _query("", "by_time")
        client.put_item(TableName="HistoryTable", Item=_item(added) | {"count": {"N": "1"}})
        client.put_item(TableName="HistoryTable", Item=_item(added))
        client.delete_item(TableName="HistoryTable", Key=_key(removed))
        client.delete_item(TableName="HistoryTable", Key=_key("none"))


def _key(key: str) -> dict[str, dict[str, str]]:
    return {"pk": {"S": "partition"}, "sk": {"S": key}}


def _item(key: str) -> dict[str, dict[str, str]]:
    return _key(key) | {"collection": {"S": "partition"}, "time": {"S": _time(key)}}


def _time(key: str) -> str:
    return key[:2] + key[-1]


def _query(condition: str, index: str | None = None, **request: Any) -> dict[str, Any]:
    names = {"#pk": "collection", "#sk": "time"} if index else {"#pk": "pk", "#sk": "sk"}
    values = {":pk": {"S": "partition"}, ":sk": {"S": "b#"}}
    return boto3.client("dynamodb").query(
        TableName="HistoryTable",
        KeyConditionExpression=f"#pk = :pk{condition}",
        ExpressionAttributeNames={name: value for name, value in names.items() if name in f"#pk{condition}"},
        **{"ExpressionAttributeValues": {name: values[name] for name in values if name in f":pk{condition}"}}
        | ({"IndexName": index} if index else {})
        | request,
    )


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("index", [None, "by_time"])
@pytest.mark.parametrize(
    ("condition", "within"),
    [
        ("", lambda _: True),
        (" AND begins_with(#sk, :sk)", lambda key: key.startswith("b#")),
        (" AND #sk >= :sk", lambda key: key >= "b#"),
        (" AND #sk < :sk", lambda key: key < "b#"),
    ],
)
def test_pages_are_the_range_in_order(
    condition: str, within: Callable[[str], bool], index: str | None, forward: bool
) -> None:
    keys = sorted(filter(within, KEYS), key=(lambda key: (_time(key), key)) if index else None)
    found, place = [], {}
    while place is not None:
        page = _query(condition, index, Limit=100, ScanIndexForward=forward, **place)
        found += [item["sk"]["S"] for item in page["Items"]]
        place = {"ExclusiveStartKey": page["LastEvaluatedKey"]} if "LastEvaluatedKey" in page else None
    assert found == (keys if forward else keys[::-1])
    assert _query(condition, index)["Count"] == len(keys)


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
