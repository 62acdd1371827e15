"""The tables' keys and indexes are those that stacks in use have, or the release says what to do about them."""

import pytest

from tools import template

KEYS = {
    "DevicesTable": {"": "pk", "by_serial": "serial pk KEYS_ONLY"},
    "BindingsTable": {"": "pk sk", "by_holder": "holder holder_sort ALL", "by_proxy": "proxy KEYS_ONLY"},
    "DirectoryTable": {"": "pk sk", "by_list": "collection pk ALL"},
}
"""Keys of each table and its indexes, and what an index holds. A line that is here is never changed: CloudFormation
refuses another key or projection under the same name, and another key of a table would replace it. Add an index under
another name, or remove one that no release in use asks: one of a table in a release, as DynamoDB does one in an update.
"""


@pytest.mark.parametrize("table", KEYS)
def test_keys_and_indexes_are_those_that_a_stack_can_be_updated_to(table: str):
    properties = template.document()["Resources"][table]["Properties"]
    found = {"": " ".join(key["AttributeName"] for key in properties["KeySchema"])}
    for index in properties["GlobalSecondaryIndexes"]:
        keys = [key["AttributeName"] for key in index["KeySchema"]]
        found[index["IndexName"]] = " ".join([*keys, index["Projection"]["ProjectionType"]])
    assert found == KEYS[table], "see what is said of KEYS"
    assert {attribute["AttributeType"] for attribute in properties["AttributeDefinitions"]} == {"S"}


def test_every_table_is_held_to_its_keys():
    assert KEYS.keys() == dict(template.resources("AWS::DynamoDB::Table")).keys()
