"""The doctor against a registry with DynamoDB's own rules: nothing that it does is refused, and nothing stays."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Put
from bindery.directory import storage_format
from bindery.registry import items
from tests.http_api import admin
from tests.tables import everything

pytestmark = pytest.mark.usefixtures("engine")


def test_a_healthy_installation_is_said_to_be_by_two_at_once_and_left_as_it_was() -> None:
    with ThreadPoolExecutor(2) as doctors:
        found = list(doctors.map(lambda _: admin("doctor", "POST", "doctor").json(), range(2)))
    for health in found:
        assert [check for check in health["checks"] if not check["healthy"]] == []
    assert everything() == {"DEVICES": [], "BINDINGS": [], "DIRECTORY": []}


def test_tables_of_another_format_are_reported_and_left_as_they_are() -> None:
    dynamodb.write(Put(items.STORAGE_FORMAT, {"version": storage_format.CURRENT - 1}))
    (check,) = (check for check in admin("doctor", "POST", "doctor").json()["checks"] if check["name"] == "format")
    assert check == {
        "name": "format",
        "healthy": False,
        "detail": f"the tables have format {storage_format.CURRENT - 1}, this release needs format"
        f" {storage_format.CURRENT}: deploy the release that wrote them",
    }
    assert storage_format.record() == storage_format.CURRENT - 1
