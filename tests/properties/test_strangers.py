"""Responses for another tenant's resources, and the calls that produce them, are as for resources that do not exist."""

import json
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tests import calls
from tests.http_api import Response
from tests.properties import world
from tests.properties.conditions import another_account, another_user
from tests.properties.staging import Stage, columns, holds_tenants_data
from tests.properties.world import Event
from tools import template

NOWHERE_DK = "0000000000F9"
NOWHERE_ADDRESS, NOWHERE_CONNECTION = "80:00:00:00:00:00:00:F9", "00000000-0000-4000-8000-000000000000"


def _by_keys(event: Event) -> Event:
    return world.query(event, dk=NOWHERE_DK)


def _by_path(name: str, value: str) -> Callable[[Event], Event]:
    return lambda event: event | {"pathParameters": {name: value}}


NOWHERE: dict[str, Callable[[Event], Event]] = {
    "rufus.get_device": _by_path("deviceid", "F9" * 32),
    "rufus.unbind_device": _by_path("deviceid", "F9" * 32),
    "rufus.open_session": lambda event: world.body(event, deviceid="F9" * 32),
    "rufus.insert_passings": lambda event: world.body(event, token_session="F9" * 48),
    "rufus.list_passings": _by_path("deviceid", "F9" * 32),
    **{
        f"quectel.{name}": _by_keys
        for name in (
            *("device_info", "get_device_binding_info", "get_device_info_by_binding", "get_device_online_status"),
            *("get_device_business_attributes", "set_device_info", "unbundling_device_dk", "share_info"),
        )
    },
    "quectel.batch_control_device": lambda event: world.body(
        event, deviceList=[{"productKey": world.PK, "deviceKey": NOWHERE_DK}]
    ),
    **{
        f"quectel.{name}": lambda event: event | {"body": f"pk={world.PK}&dk={NOWHERE_DK}", "isBase64Encoded": False}
        for name in ("get_auth_key", "regenerate_auth_key")
    },
    "quectel.share_device": lambda event: world.query(event, shareCode="A" * 200),
    "asseco.get_device": _by_path("imei", "990000862471899"),
    "asseco.unregister_device": _by_path("imei", "990000862471899"),
    **{
        f"asseco.{name}": _by_path("device-id", "990000862471899")
        for name in ("set_nickname", "set_push_handle", "block_device", "unblock_device")
    },
    "asseco.get_issued_device": _by_path("device-id", "CARD-0099"),
    "asseco.set_issued_nickname": _by_path("device-id", "CARD-0099"),
    "remoteit.login": lambda event: world.body(event, username="nobody@example.com"),
    "remoteit.connect_device": lambda event: world.body(event, deviceaddress=NOWHERE_ADDRESS),
    "remoteit.delete_device": _by_path("address", NOWHERE_ADDRESS),
    "remoteit.rename_device": lambda event: world.body(event, deviceaddress=NOWHERE_ADDRESS),
    "remoteit.stop_connection": lambda event: world.body(event, deviceaddress=NOWHERE_ADDRESS),
}
"""By operation on a single resource: the request for a resource that does not exist."""

NAMES_NOTHING = {
    *("rufus.list_devices", "quectel.refresh_token", "quectel.user_info", "quectel.user_device_list"),
    *("quectel.get_product_list", "quectel.product_tsl", "asseco.list_owned_devices", "asseco.list_issued_devices"),
    *("remoteit.count_devices", "remoteit.find_by_name", "remoteit.list_all", "remoteit.list_metadata"),
    *("remoteit.logout", "remoteit.get_user"),
} | {name for name in world.OPERATIONS if not holds_tenants_data(name)}
"""Operations whose responses contain only the caller's own or public data: lists, and those without access to more."""

TOLD_APART = {
    "rufus.bind_device": "a device's id depends on its company, so no other tenant's resource is involved",
    "quectel.bind_device_sn": "the document has separate codes: 5412 and 5049, besides 5090",
    "quectel.email_pwd_login": "the API has a separate code for an unknown address: 5031",
    "quectel.phone_pwd_login": "the API has a separate code for an unknown phone number: 5004",
    "asseco.register_owned_device": "the API says imei-not-unique for any owner",
    "remoteit.login_by_authhash": "its name is looked up as that of a login",
    "remoteit.check_token": "a token authenticates its user, whose application asks about it",
    "vodlix.add_device": "video devices have no owner",
    "vodlix.check_device": "video devices have no owner",
    "vodlix.record_activity": "video devices have no owner",
}
"""The remaining operations, with the reason."""


STRANGERS = [(name, another_account) for name in NOWHERE] + [
    (name, another_user) for name in NOWHERE if name.startswith("quectel.") and name != "quectel.share_device"
]
"""By operation: the callers without access to the resource. Users of an account share the account's resources."""


def watched(name: str, request: Event) -> tuple[Response, list[str]]:
    """Return the response and the AWS calls that it took, because the response time also reveals information."""
    handler = template.function(name).load()
    with calls.recording(name) as invocation:
        answer = handler(request, SimpleNamespace(aws_request_id="lambda-1"))
    return Response(answer["statusCode"], answer["headers"], answer["body"]), invocation.dynamodb


def unnamed(answer: Response, *requests: Event) -> tuple[int, dict[str, str], str]:
    """Return a response without the requested resource's id."""
    body = answer.body
    for request in requests:
        named = (request.get("pathParameters") or {}).values()
        sent = request.get("body") or ""
        for value in (*named, json.loads(sent).get("deviceid", "…") if sent.startswith("{") else "…"):
            body = body.replace(value, "…")
    for value in (NOWHERE_ADDRESS, world.ADDRESS, NOWHERE_DK, world.DK):
        body = body.replace(value, "…")
    return answer.status, answer.headers, body


@pytest.mark.parametrize(("name", "stranger"), STRANGERS, ids=lambda part: getattr(part, "__name__", part))
def test_another_tenants_resource_looks_like_a_missing_one(
    name: str, stranger: Callable[[Stage], Event], stage: Callable[[str, str], Stage]
) -> None:
    column = columns(name)[-1]
    theirs = stranger(stage(name, column))
    nowhere = NOWHERE[name](theirs)
    found, looked = watched(name, theirs)
    missed, tried = watched(name, nowhere)
    assert unnamed(found, theirs) == unnamed(missed, nowhere)
    assert looked == tried


def test_every_operation_is_covered() -> None:
    assert {*NOWHERE, *NAMES_NOTHING, *TOLD_APART} == set(world.OPERATIONS)
    assert len(NOWHERE) + len(NAMES_NOTHING) + len(TOLD_APART) == len(world.OPERATIONS)
