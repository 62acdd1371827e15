"""Records that operators create for quectel: domains, products, families, manufactured devices, accepted shares."""

from collections.abc import Callable

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Item, Key
from bindery.core.errors import Reason, Refused
from bindery.directory import products
from bindery.quectel import families
from bindery.registry import devices, identity, items
from tests.concurrency.races import before
from tests.quectel import DEVICE, ME, OTHER, PK, SN, World, as_user, succeeded
from tests.tables import everything

pytestmark = pytest.mark.usefixtures("registry")


def refusal(call: Callable[[], object]) -> Reason:
    with pytest.raises(Refused) as caught:
        call()
    return caught.value.reason


def stored(key: Key) -> Item:
    found = dynamodb.get(key)
    assert found is not None
    return found


def test_product_defaults_to_unique_mode_and_all_domains() -> None:
    products.create(f" {PK} ", name="Smart lock", module_type="BC26")
    found = stored(items.product(PK))
    assert found == {
        "pk": f"product#{PK}",
        "sk": "product",
        "collection": "products",
        "product_key": PK,
        "name": "Smart lock",
        "mode": 2,
        "module_type": "BC26",
        "domains": None,
        "data_center": None,
        "created_at": found["created_at"],
    }


def test_manufacturing_again_keeps_owner_and_ban() -> None:
    World()
    succeeded(as_user(OTHER))
    devices.ban(DEVICE, "stolen")
    devices.set_enabled(DEVICE, False)
    earlier, bindings = stored(items.device(DEVICE)), everything()["BINDINGS"]
    assert devices.manufacture(f" {PK}", f"{SN} ", module_type="EC200", data_center="eu") == DEVICE
    changed = {"device_key": None, "module_type": "EC200", "data_center": "eu"}
    assert stored(items.device(DEVICE)) == earlier | changed
    assert everything()["BINDINGS"] == bindings
    assert (earlier["product_key"], earlier["serial"], earlier["dialect"]) == (PK, SN, "quectel")


def test_device_is_identified_by_product_key_and_serial() -> None:
    assert identity.manufactured_device("a#b", "c") != identity.manufactured_device("a", "b#c")


@pytest.mark.parametrize("uid", [ME, OTHER])
def test_removing_a_member_keeps_concurrently_changed_rooms(uid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    World()
    before(monkeypatch, "UpdateItem", lambda: families.change("F1", rooms=["R1", "R2"]))
    families.remove_member("F1", uid)
    assert stored(items.family("F1"))["rooms"] == ["R1", "R2"]
