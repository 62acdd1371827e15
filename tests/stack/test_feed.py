"""The streams of the tables, and which of their records become events."""

from typing import Any

import pytest

from bindery.aws.dynamodb import Key, Table
from tools import template
from tools.generate import data_model
from tools.local.event_filters import passes

MAPPINGS = dict(template.resources("AWS::Lambda::EventSourceMapping"))
TABLES = dict(template.resources("AWS::DynamoDB::Table"))

EVENTFUL = {"Act", "Binding", "Connection", "Presence", "Registration", "UserDevice"}
"""Kinds of items of the bindings table whose changes become events."""


def record(key: Key[Any], **images: dict[str, Any]) -> dict[str, Any]:
    """Return a stream record with these images, whose attributes are in DynamoDB's format."""
    keys = {"pk": {"S": key.pk}} | ({"sk": {"S": key.sk}} if key.sk else {})
    return {"dynamodb": {"Keys": keys} | {name: keys | image for name, image in images.items()}}


def of_table(table: Table) -> list[tuple[str, Key[Any]]]:
    return [(kind.name, key) for kind in data_model.kinds() for key in kind.keys.values() if key.table is table]


def test_each_stream_with_both_images_has_a_mapping() -> None:
    streams = {name: table["StreamSpecification"] for name, table in TABLES.items() if "StreamSpecification" in table}
    assert streams == {
        f"{name.removesuffix('Feed')}Table": {"StreamViewType": "NEW_AND_OLD_IMAGES"} for name in MAPPINGS
    }
    assert template.metadata("FeedRecord")["Streams"] == list(streams)


def test_mappings_differ_only_in_stream_and_filter() -> None:
    own = ("EventSourceArn", "FilterCriteria", "ParallelizationFactor")
    shared = [{name: value for name, value in each.items() if name not in own} for each in MAPPINGS.values()]
    assert shared == [shared[0]] * len(MAPPINGS)
    assert shared[0]["FunctionName"] == {"Ref": "FeedRecord.Alias"}
    # What was written before the mapping existed is recorded too, and no batch fails because of one record.
    assert shared[0]["StartingPosition"] == "TRIM_HORIZON"
    assert shared[0]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert shared[0]["BisectBatchOnFunctionError"] is True
    # A stream keeps records for a day.
    assert shared[0]["MaximumRecordAgeInSeconds"] < 86400
    assert shared[0]["DestinationConfig"] == {"OnFailure": {"Destination": {"Fn::GetAtt": ["FeedFailures", "Arn"]}}}


def test_only_records_without_an_order_are_delivered_at_the_same_time() -> None:
    # A new device has one record. Lambda would keep the order of an item, but not that of a device's other items.
    assert {name for name, mapping in MAPPINGS.items() if "ParallelizationFactor" in mapping} == {"DevicesFeed"}


@pytest.mark.parametrize("name", MAPPINGS)
def test_mapping_reads_the_stream_of_the_table_in_use(name: str) -> None:
    table = name.removesuffix("Feed")
    condition, other, own = MAPPINGS[name]["EventSourceArn"]["Fn::If"]
    assert (condition, own) == ("OtherTables", {"Fn::GetAtt": [f"{table}Table", "StreamArn"]})
    assert other["Fn::Sub"].endswith(f":table/${{{table}TableName}}/stream/${{{table}StreamLabel}}")


def test_only_new_devices_pass_the_filter_of_devices() -> None:
    for _, key in of_table(Table.DEVICES):
        assert passes("DevicesTable", record(key, NewImage={}))
        assert not passes("DevicesTable", record(key, OldImage={}, NewImage={}))
        assert not passes("DevicesTable", record(key, OldImage={}))


def test_only_eventful_kinds_pass_the_filter_of_bindings() -> None:
    found = [(kind, passes("BindingsTable", record(key))) for kind, key in of_table(Table.BINDINGS)]
    assert [(kind, kind in EVENTFUL) for kind, _ in found] == found
    assert {kind for kind, _ in found} >= EVENTFUL


def test_only_records_that_operators_changed_pass_the_filter_of_the_directory() -> None:
    changed = {"changed_by": {"S": "arn"}, "changed_at": {"N": "1795176000000"}}
    for _, key in of_table(Table.DIRECTORY):
        assert passes("DirectoryTable", record(key, NewImage=changed))
        assert passes("DirectoryTable", record(key, OldImage=changed, NewImage=changed))
        assert not passes("DirectoryTable", record(key, OldImage={}, NewImage={}))
        assert not passes("DirectoryTable", record(key, OldImage=changed))
