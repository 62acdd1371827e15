"""Operators' writes to devices, on an engine that supports parallel requests."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from bindery.aws.dynamodb import Table
from bindery.core.errors import Reason, Refused
from bindery.directory.bulk_import import ROW_LIMIT
from bindery.operators import forced_unbind
from bindery.registry import identity
from tests import quectel
from tests.http_api import OPERATOR, admin
from tests.quectel import DEVICE, ME, OTHER, PK, World
from tests.tables import everything, stored

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


def test_parallel_unbind_and_takeover_leave_no_partial_binding() -> None:
    world = World(quectel.Mode.ROTATING)
    world.at_home()
    for _ in range(10):
        quectel.as_user(ME, fid="F1")
        barrier = Barrier(2)

        def end(barrier: Barrier = barrier) -> Reason | None:
            barrier.wait(30)
            try:
                forced_unbind.end(DEVICE, "sold")
            except Refused as fault:
                return fault.reason
            return None

        def take(barrier: Barrier = barrier) -> Any:
            barrier.wait(30)
            return quectel.as_user(OTHER).json()["code"]

        with ThreadPoolExecutor(2) as pool:
            ended, taken = pool.submit(end), pool.submit(take)
        assert ended.result() in (None, Reason.CONFLICT)
        assert taken.result() in (200, 5048)
        holders = [item["holder"] for item in everything()["BINDINGS"] if "holder" in item]
        # The remaining owner holds the device. The family lists it as long as its own member has it.
        assert quectel.common("F1") == ({DEVICE} if holders == [f"user#{ME}"] else set())
        if taken.result() == 200 and ended.result() is Reason.CONFLICT:
            assert holders == [f"user#{OTHER}"]
        for _ in holders:
            forced_unbind.end(DEVICE, "between rounds")
