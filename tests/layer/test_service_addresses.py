"""Service addresses: one device per address, one address per device, and no partial assignments."""

import pytest

from bindery.aws import dynamodb
from bindery.connectivity import service_addresses
from bindery.connectivity.service_addresses import Assigned
from bindery.core.errors import Reason, Refused
from bindery.directory import products
from bindery.registry import devices, items
from bindery.registry.bindings import Mode
from tests.concurrency.races import before
from tests.tables import everything

pytestmark = pytest.mark.usefixtures("registry")

ADDRESS = "80:00:00:00:00:00:00:F1"
OTHER = "80:00:00:00:00:00:00:F2"


@pytest.fixture(autouse=True)
def _devices(registry: None) -> None:
    for device in ("one", "two"):
        dynamodb.write(devices.seen(device, "rufus"))


def assigned(address: str) -> Assigned | None:
    return service_addresses.Assigned.from_item(dynamodb.get(items.service_address(address)))


def shown(device: str) -> str | None:
    return (dynamodb.get(items.device(device)) or {}).get("address")


def test_address_and_device_refer_to_each_other() -> None:
    service_addresses.assign(f" {ADDRESS.lower()} ", "one")
    found = assigned(ADDRESS)
    assert found is not None
    assert (found.device, found.per_user) == ("one", False)
    assert (shown("one"), shown("two")) == (ADDRESS, None)


@pytest.mark.parametrize("mode", list(Mode))
def test_device_of_multi_mode_product_is_held_per_user(mode: Mode) -> None:
    products.create("PK", name="P", module_type="M", mode=mode)
    device = devices.manufacture("PK", "SN")
    service_addresses.assign(ADDRESS, device)
    found = assigned(ADDRESS)
    assert found is not None
    assert (found.device, found.per_user) == (device, mode is Mode.MULTI)


@pytest.mark.parametrize(
    ("address", "device", "reason"),
    [
        ("80:00", "two", Reason.INVALID),
        (OTHER, "three", Reason.NOT_FOUND),
        (ADDRESS, "two", Reason.ALREADY_EXISTS),
        (OTHER, "one", Reason.ALREADY_EXISTS),
        (ADDRESS, "one", Reason.ALREADY_EXISTS),
    ],
)
def test_address_and_device_are_assigned_one_to_one(address: str, device: str, reason: Reason) -> None:
    service_addresses.assign(ADDRESS, "one")
    stands = everything()
    with pytest.raises(Refused) as caught:
        service_addresses.assign(address, device)
    assert caught.value.reason is reason
    assert everything() == stands


def test_removed_address_can_be_assigned_to_another_device() -> None:
    service_addresses.assign(ADDRESS, "one")
    service_addresses.withdraw(ADDRESS.lower())
    assert (assigned(ADDRESS), shown("one")) == (None, None)
    service_addresses.assign(ADDRESS, "two")
    service_addresses.assign(OTHER, "one")
    assert (shown("one"), shown("two")) == (OTHER, ADDRESS)


@pytest.mark.parametrize("address", [ADDRESS, "80:00"])
def test_unassigned_address_cannot_be_removed(address: str) -> None:
    with pytest.raises(Refused) as caught:
        service_addresses.withdraw(address)
    assert caught.value.reason is Reason.NOT_FOUND


def test_address_reassigned_concurrently_is_not_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    service_addresses.assign(ADDRESS, "one")

    def move() -> None:
        service_addresses.withdraw(ADDRESS)
        service_addresses.assign(ADDRESS, "two")

    before(monkeypatch, "TransactWriteItems", move)
    with pytest.raises(Refused) as caught:
        service_addresses.withdraw(ADDRESS)
    assert caught.value.reason is Reason.NOT_FOUND
    assert (shown("one"), shown("two")) == (None, ADDRESS)
