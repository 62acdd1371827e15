"""Records that operators create for quectel: domains, products, families, manufactured devices, accepted shares."""

from collections.abc import Callable

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Item, Key
from bindery.core.errors import Reason, Refused
from bindery.directory import products
from bindery.quectel import families, user_domains
from bindery.registry import devices, identity, items
from bindery.registry.bindings import Mode
from tests.concurrency.races import before
from tests.quectel import DEVICE, ME, OTHER, PK, SN, World, as_user, common, fill, succeeded
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


@pytest.mark.parametrize(
    "enter",
    [
        lambda: user_domains.create("E.DM.1", binders="administrators"),
        lambda: products.create(f" {PK} ", name="Second", module_type="M", mode=Mode.ROTATING),
        lambda: families.create("F1", OTHER),
    ],
)
def test_existing_records_cannot_be_created_again(enter: Callable[[], None]) -> None:
    World()
    untouched = everything()
    assert refusal(enter) is Reason.ALREADY_EXISTS
    assert everything() == untouched


@pytest.mark.parametrize(
    "change",
    [
        lambda: user_domains.change("none", enabled=True),
        lambda: products.change("none", domains=None),
        lambda: products.bar("none", ME),
        lambda: families.change("none", members=[ME]),
        lambda: families.enter_common("none", DEVICE),
        lambda: devices.set_enabled("none", False),
    ],
)
def test_missing_records_cannot_be_changed(change: Callable[[], None]) -> None:
    World()
    untouched = everything()
    assert refusal(change) is Reason.NOT_FOUND
    assert everything() == untouched


LONG = [str(number) for number in range(101)]


@pytest.mark.parametrize(
    "enter",
    [
        lambda: products.create("p2", name="Second", module_type="M", domains=LONG),
        lambda: products.change(PK, domains=LONG),
        lambda: families.create("F9", ME, members=LONG),
        lambda: families.create("F9", ME, rooms=LONG),
        lambda: families.change("F1", members=LONG),
        lambda: families.change("F1", rooms=LONG),
    ],
)
def test_list_sizes_are_limited(enter: Callable[[], None]) -> None:
    World()
    untouched = everything()
    assert refusal(enter) is Reason.LIMIT_REACHED
    assert everything() == untouched


def test_product_name_must_be_valid_as_device_name() -> None:
    products.create("p1", name="n" * 254, module_type="M")
    assert refusal(lambda: products.create("p2", name="n" * 255, module_type="M")) is Reason.INVALID
    assert refusal(lambda: products.change("p1", name="n" * 255)) is Reason.INVALID


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


def test_common_list_holds_100_distinct_devices() -> None:
    World()
    fill("F1", 99)
    families.enter_common("F1", DEVICE)
    families.enter_common("F1", DEVICE)
    assert len(common("F1")) == 100
    assert refusal(lambda: families.enter_common("F1", "quectel#p#another")) is Reason.LIMIT_REACHED
    assert len(common("F1")) == 100


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
    before(monkeypatch, "update_item", lambda: families.change("F1", rooms=["R1", "R2"]))
    families.remove_member("F1", uid)
    assert stored(items.family("F1"))["rooms"] == ["R1", "R2"]
