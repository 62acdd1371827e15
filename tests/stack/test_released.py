"""Existing stacks can be updated: the keys and indexes of the tables have not changed."""

import pytest

from tools import template

TABLES = dict(template.resources("AWS::DynamoDB::Table"))
KEYS = {
    "DevicesTable": {"": "pk", "by_serial": "serial pk KEYS_ONLY"},
    "BindingsTable": {
        "": "pk sk",
        "by_holder": "holder holder_sort ALL",
        "by_credential": "credential KEYS_ONLY",
        "by_label": "label INCLUDE caller account per_user expires_at",
    },
    "FramesTable": {"": "pk sk"},
    "DirectoryTable": {"": "pk sk", "by_list": "collection pk ALL"},
    "HistoryTable": {"": "pk sk", "by_time": "collection time ALL"},
}
"""Keys of each table and its indexes, and the projection of each index.

Never change an existing entry: CloudFormation rejects a different key or projection under the same index name, and
replaces a table whose key changes. Add an index under a new name, or remove one that no supported release queries.
DynamoDB adds or removes one index per table in an update, so change at most one per table and release.
"""


@pytest.mark.parametrize("table", sorted({*KEYS, *TABLES}))
def test_keys_and_indexes_are_unchanged_since_the_release(table: str):
    properties = TABLES[table]
    found = {"": " ".join(key["AttributeName"] for key in properties["KeySchema"])}
    for index in properties.get("GlobalSecondaryIndexes", ()):
        keys, projection = [key["AttributeName"] for key in index["KeySchema"]], index["Projection"]
        projected = [projection["ProjectionType"], *projection.get("NonKeyAttributes", ())]
        found[index["IndexName"]] = " ".join([*keys, *projected])
    assert found == KEYS[table], "see the docstring of KEYS"
    assert {attribute["AttributeType"] for attribute in properties["AttributeDefinitions"]} == {"S"}
