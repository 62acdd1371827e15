"""quectel: responses of the operations that show devices and products, control devices and hand out their keys."""

import json

import pytest

from bindery.core import clock
from bindery.directory import products
from bindery.quectel import tsl, user_domains
from bindery.registry.bindings import Mode
from tests.http_api import Response
from tests.quectel import DK, ME, OTHER, PK, THIRD, World, ask, refused, share, succeeded
from tests.records import TSL
from tests.tables import everything

KEYS = {"pk": PK, "dk": DK}


@pytest.fixture(autouse=True)
def world(registry: None) -> World:
    return World()


@pytest.fixture
def bound(world: World) -> None:
    """Bind the device to the user."""
    succeeded(world.ask())


def says(answer: Response, data: str) -> None:
    assert (answer.status, answer.body) == (200, f'{{"code":200,"data":{data},"extMsg":"","msg":""}}')


OWN = ("get_device_binding_info", "get_device_online_status")
"""Operations on a device of the user."""

WRONG = [
    (5066, {"pk": " ", "dk": ""}),
    (5067, {"pk": PK, "dk": " "}),
    (5361, {"pk": PK, "dk": "84:15"}),
    (5314, {"pk": "p" * 65, "dk": DK}),
    (5052, {"pk": PK, "dk": "8415D0A31B2D"}),
    (5052, {"pk": "other", "dk": DK}),
]


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize(("number", "parameters"), WRONG)
def test_wrong_device_is_refused(bound: None, name: str, number: int, parameters: dict[str, str]) -> None:
    untouched = everything()
    refused(ask(ME, name, **parameters), number)
    refused(ask(THIRD, name, **KEYS), 5052)
    assert everything() == untouched


def test_binding_info_is_the_device_info(bound: None) -> None:
    share(ME, OTHER, clock.seconds() + 60)
    for uid in (ME, OTHER):
        shown = ask(uid, "get_device_binding_info", **KEYS)
        assert shown.json()["data"]["productName"] == "Smart lock"
        assert shown.body == ask(uid, "device_info", **KEYS).body


def test_device_is_offline(bound: None) -> None:
    share(ME, OTHER, clock.seconds() + 60)
    for uid in (ME, OTHER):
        says(ask(uid, "get_device_online_status", **KEYS), '{"online":0,"value":0}')


@pytest.mark.parametrize("bits", [None, 6])
def test_device_bound_without_capabilities_has_those_of_its_product(bound: None, bits: int | None) -> None:
    if bits is not None:
        products.change(PK, capabilities=bits)
    share(ME, OTHER, clock.seconds() + 60)
    code = ask(ME, "share_info", **KEYS).json()["data"]
    shown = [ask(uid, "device_info", **KEYS) for uid in (ME, OTHER)] + [ask(THIRD, "device_info", shareCode=code)]
    assert [answer.json()["data"]["capabilitiesBitmask"] for answer in shown] == [bits or 1] * 3


def test_product_list_has_the_products_of_the_users_domain() -> None:
    user_domains.create("E.DM.2")
    products.create("a", name="Alarm", module_type="M", domains=["E.DM.1"])
    products.create("b", name="Bell", module_type="M", domains=["E.DM.2"])
    products.create("q", name="Quad", module_type="M", mode=Mode.MULTI)
    page = ask(ME, "get_product_list", pageNum=1, pageSize=2).json()["data"]
    assert page["list"] == [{"productKey": "a", "name": "Alarm"}, {"productKey": PK, "name": "Smart lock"}]
    assert (page["total"], page["pages"], page["nextPage"]) == (3, 2, 2)
    assert ask(ME, "get_product_list", pageNum=2, pageSize=2).json()["data"]["list"] == [
        {"productKey": "q", "name": "Quad"}
    ]
    assert ask(ME, "get_product_list").json()["data"]["pageSize"] == 10
    assert ask(ME, "get_product_list", pageSize=1000).json()["data"]["pageSize"] == 100
    refused(ask(ME, "get_product_list", pageNum=0), 5314)


def test_tsl_is_returned_as_text_and_as_members() -> None:
    empty = '"profile":{},"properties":[],"services":[],"events":[]'
    escaped = empty.replace('"', '\\"')
    says(ask(ME, "product_tsl", pk=PK), f'{{"tslJson":"{{{escaped}}}",{empty}}}')
    tsl.load(PK, TSL)
    found = ask(ME, "product_tsl", pk=PK).json()["data"]
    assert json.loads(found.pop("tslJson")) == found == {**TSL, "services": [], "events": []}


@pytest.mark.parametrize(("number", "key"), [(5066, " "), (5193, "other"), (5193, "p" * 65), (5193, "elsewhere")])
def test_tsl_of_a_product_that_is_not_open_to_the_domain_is_refused(number: int, key: str) -> None:
    user_domains.create("E.DM.2")
    products.create("elsewhere", name="Alarm", module_type="M", domains=["E.DM.2"])
    tsl.load("elsewhere", TSL)
    refused(ask(ME, "product_tsl", pk=key), number)
