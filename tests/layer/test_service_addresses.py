"""Service addresses: one device per address, up to 16 addresses per device, and no partial assignments."""

import pytest

from bindery.aws import dynamodb
from bindery.connectivity import service_addresses
from bindery.core.errors import Reason
from bindery.registry import devices, items
from tests.concurrency.races import before
from tests.layer.refusals import refused
from tests.records import ADDRESS
from tests.tables import everything

pytestmark = pytest.mark.usefixtures("registry")

OTHER = "80:00:00:00:00:00:00:F2"


@pytest.fixture(autouse=True)
def _devices(registry: None) -> None:
    for device in ("one", "two"):
        dynamodb.write(devices.seen(device, "rufus"))


def shown(device: str) -> list[str]:
    return list((dynamodb.get(items.device(device)) or {}).get("services", {}))


def test_invalid_address_is_neither_assigned_nor_removed() -> None:
    stands = everything()
    assert refused(lambda: service_addresses.assign("80:00", "one")) is Reason.INVALID
    assert refused(lambda: service_addresses.withdraw("80:00")) is Reason.NOT_FOUND
    assert everything() == stands


def test_first_services_of_a_device_are_not_lost_to_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    before(monkeypatch, "TransactWriteItems", lambda: service_addresses.assign(OTHER, "one"))
    assert refused(lambda: service_addresses.assign(ADDRESS, "one")) is Reason.CONFLICT
    assert shown("one") == [OTHER]


def test_address_reassigned_concurrently_is_not_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    service_addresses.assign(ADDRESS, "one")

    def move() -> None:
        service_addresses.withdraw(ADDRESS)
        service_addresses.assign(ADDRESS, "two")

    before(monkeypatch, "TransactWriteItems", move)
    assert refused(lambda: service_addresses.withdraw(ADDRESS)) is Reason.NOT_FOUND
    assert (shown("one"), shown("two")) == ([], [ADDRESS])
