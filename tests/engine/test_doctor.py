"""The doctor against a registry with DynamoDB's own validation: no call is refused, and nothing is left behind."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Put
from bindery.directory import storage_format
from bindery.registry import items
from tests.http_api import admin
from tests.tables import NOTHING, everything

pytestmark = pytest.mark.usefixtures("engine")


def test_parallel_checks_of_a_healthy_installation_pass() -> None:
    with ThreadPoolExecutor(2) as doctors:
        found = list(doctors.map(lambda _: admin("doctor", "POST", "doctor").json(), range(2)))
    for health in found:
        assert [check for check in health["checks"] if not check["healthy"]] == []
    assert everything() == NOTHING


def test_tables_of_another_format_are_reported_and_not_changed() -> None:
    dynamodb.write(Put(items.STORAGE_FORMAT, {"version": storage_format.CURRENT - 1}))
    (check,) = (check for check in admin("doctor", "POST", "doctor").json()["checks"] if check["name"] == "format")
    assert check == {
        "name": "format",
        "healthy": False,
        "detail": f"the tables have format {storage_format.CURRENT - 1}, this release needs format"
        f" {storage_format.CURRENT}: deploy the release that wrote them",
    }
    assert storage_format.record() == storage_format.CURRENT - 1
