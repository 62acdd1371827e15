"""The changes that the local registry serves to the change feed."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError

from tests.engine.changes import item, kill, last, put, read, use
from tools import template
from tools.local.engine import Engine


def test_record_has_the_form_that_lambda_gets(engine: Engine):
    start = last(engine)
    put(1, holder="account#acme")
    put(1, holder="account#blue")
    boto3.client("dynamodb").delete_item(TableName="BindingsTable", Key={name: item(1)[name] for name in ("pk", "sk")})
    records, position = read(engine, start)
    times = [record["dynamodb"].pop("ApproximateCreationDateTime") for record in records]
    first, second = item(1, holder="account#acme"), item(1, holder="account#blue")
    images = [{"NewImage": first}, {"OldImage": first, "NewImage": second}, {"OldImage": second}]
    region = boto3.client("dynamodb").meta.region_name
    assert position == start + 3
    assert records == [
        {
            "eventID": f"local-{start + number}-{round(time * 1000)}",
            "eventName": event,
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": region,
            "dynamodb": {
                "Keys": {"pk": {"S": "rufus#acme#1"}, "sk": {"S": "owner"}},
                "SequenceNumber": f"{start + number:021}",
                "SizeBytes": 39 * len(found),
                "StreamViewType": "NEW_AND_OLD_IMAGES",
                **found,
            },
            "eventSourceARN": (
                f"arn:aws:dynamodb:{region}:000000000000:table/BindingsTable/stream/2026-01-01T00:00:00.000"
            ),
        }
        for number, (event, time, found) in enumerate(
            zip(("INSERT", "MODIFY", "REMOVE"), times, images, strict=True), 1
        )
    ]


def test_transaction_has_a_record_of_each_item_in_order(engine: Engine):
    start = last(engine)
    put(1)
    puts = [{"Put": {"TableName": "BindingsTable", "Item": item(number)}} for number in (3, 1, 2)]
    boto3.client("dynamodb").transact_write_items(TransactItems=puts)
    records, _ = read(engine, start)
    keys = [record["dynamodb"]["Keys"]["pk"]["S"] for record in records]
    # The item that did not change has none.
    assert keys == [f"rufus#acme#{number}" for number in (1, 3, 2)]


def test_failed_requests_have_no_records(engine: Engine):
    start = last(engine)
    put(1)
    absent = {"ConditionExpression": "attribute_not_exists(pk)"}
    puts = [{"Put": {"TableName": "BindingsTable", "Item": item(number), **absent}} for number in (2, 1)]
    client = boto3.client("dynamodb")
    with pytest.raises(ClientError):
        client.transact_write_items(TransactItems=puts)
    with pytest.raises(ClientError):
        client.put_item(TableName="BindingsTable", Item=item(1), **absent)
    put(3)
    records, position = read(engine, start)
    assert [record["dynamodb"]["Keys"]["pk"]["S"] for record in records] == ["rufus#acme#1", "rufus#acme#3"]
    assert position == start + 2


def test_tables_with_a_stream_have_records(engine: Engine):
    start = last(engine)
    tables = dict(template.resources("AWS::DynamoDB::Table"))
    for name in tables:
        put(1, name, collection="x", time="x")
    records, _ = read(engine, start)
    streamed = [name for name, properties in tables.items() if "StreamSpecification" in properties]
    assert [record["eventSourceARN"].split("/")[1] for record in records] == streamed


def test_items_do_not_expire(engine: Engine):
    # Their deletions would not be in the journal.
    client = boto3.client("dynamodb")
    for name, _ in template.resources("AWS::DynamoDB::Table"):
        found = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        assert found["TimeToLiveStatus"] == "DISABLED"


def test_reader_waits_for_the_next_record(engine: Engine):
    start = last(engine)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(read, engine, start, wait=20)
        put(1)
        records, position = waiting.result()
    assert (len(records), position) == (1, start + 1)


def test_records_are_read_in_batches_until_they_are_consumed(engine: Engine):
    start = last(engine)
    for number in range(5):
        put(number)
    first, position = read(engine, start, limit=2)
    assert (len(first), position) == (2, start + 2)
    assert read(engine, start, limit=2) == (first, position)
    rest, end = read(engine, position)
    assert (len(rest), end) == (3, start + 5)
    # What was consumed is gone.
    assert read(engine, start) == (rest, end)


def test_position_ahead_of_the_registry_returns_at_once(engine: Engine):
    start = last(engine)
    assert read(engine, start + 1000, wait=20) == ([], start)
    put(1)
    # Nothing was consumed.
    assert read(engine, start + 1000, wait=20) == read(engine, start)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"after": "x"}'])
def test_malformed_request_is_refused(engine: Engine, body: bytes):
    headers = {"x-amz-target": "BinderyFeed.Read"}
    assert httpx.post(engine.endpoint, headers=headers, content=body).status_code == 400


def test_records_survive_the_end_of_the_registry(environment: pytest.MonkeyPatch, tmp_path: Path):
    with Engine(tmp_path) as first:
        use(first, environment)
        for number in range(3):
            put(number)
        read(first, 1)
        put(3)
        records, _ = read(first, 1)
        read(first, 2)
        kill(first)
    with Engine(tmp_path) as replayed:
        # The journal has no entry since the last was consumed.
        assert read(replayed, 0) == (records, 4)
        use(replayed, environment)
        put(4)
        assert read(replayed, 2)[0][:2] == records[1:]
        records, _ = read(replayed, 2)
    with Engine(tmp_path) as restored:
        assert read(restored, 0) == (records, 5)
        use(restored, environment)
        put(5)
        kill(restored)
    with Engine(tmp_path) as replayed:
        found, end = read(replayed, 0)
        assert (found[:3], end) == (records, 6)
    assert (tmp_path / "registry.log").read_text() == ""


def test_state_of_a_release_without_a_feed_has_no_records(environment: pytest.MonkeyPatch, tmp_path: Path):
    with Engine(tmp_path) as first:
        use(first, environment)
        put(1)
        kill(first)
    (journal,) = (tmp_path / "registry").glob("journal-*")
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    for entry in entries:
        del entry["time"], entry["consumed"]
    journal.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    with Engine(tmp_path) as replayed:
        assert read(replayed, 0) == ([], 0)
    (snapshot,) = (tmp_path / "registry").glob("snapshot-*")
    (snapshot / "changes.json").unlink()
    with Engine(tmp_path) as restored:
        assert read(restored, 0) == ([], 0)
        use(restored, environment)
        assert boto3.client("dynamodb").get_item(TableName="BindingsTable", Key=item(1))["Item"] == item(1)
        put(2)
        (record,), position = read(restored, 0)
        assert (record["eventName"], position) == ("INSERT", 1)
