"""The doctor against a registry with DynamoDB's own rules: nothing that it does is refused, and nothing stays."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.http_api import admin
from tests.tables import everything

pytestmark = pytest.mark.usefixtures("engine")


def test_a_healthy_installation_is_said_to_be_by_two_at_once_and_left_as_it_was() -> None:
    with ThreadPoolExecutor(2) as doctors:
        found = list(doctors.map(lambda _: admin("doctor", "POST", "doctor").json(), range(2)))
    for health in found:
        assert [check for check in health["checks"] if not check["healthy"]] == []
    assert everything() == {"DEVICES": [], "BINDINGS": [], "DIRECTORY": []}
