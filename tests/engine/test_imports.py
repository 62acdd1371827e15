"""A full import, whose rows are written in parallel, on an engine that supports it."""

import pytest

from bindery.aws.dynamodb import Table
from bindery.directory.bulk_import import ROW_LIMIT
from bindery.registry import identity
from tests.http_api import OPERATOR, admin
from tests.quectel import DEVICE, PK, World
from tests.tables import stored

pytestmark = pytest.mark.usefixtures("engine")


def test_full_import_writes_each_row_once_with_the_operator() -> None:
    World()
    rows = [{"product_key": PK, "serial": f"N{number}", "device_key": f"KEY{number}"} for number in range(ROW_LIMIT)]
    body = {"rows": rows}
    first = admin("devices", "POST", "devices/import", body)
    assert first.json() == {"created": ROW_LIMIT, "changed": 0, "unchanged": 0, "errors": []}
    made = {item["pk"]: item for item in stored(Table.DEVICES) if item["pk"] != DEVICE}
    assert made.keys() == {identity.manufactured_device(PK, row["serial"]) for row in rows}
    assert {item["changed_by"] for item in made.values()} == {OPERATOR}
    again = admin("devices", "POST", "devices/import", body)
    assert again.json() == {"created": 0, "changed": 0, "unchanged": ROW_LIMIT, "errors": []}
