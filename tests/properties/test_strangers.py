"""Nobody learns of what is another's: what is not theirs is answered, and looked for, as what does not exist."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tests import calls
from tests.http_api import Response
from tests.properties import world
from tests.properties.conditions import another_account, another_user
from tests.properties.staging import Stage, columns
from tests.properties.world import Event
from tools import template

NOWHERE_ADDRESS, NOWHERE_CONNECTION = "80:00:00:00:00:00:00:F9", "00000000-0000-4000-8000-000000000000"


def _by_keys(event: Event) -> Event:
    return world.query(event, dk="0000000000F9")


def _by_path(name: str, value: str) -> Callable[[Event], Event]:
    return lambda event: event | {"pathParameters": {name: value}}


NOWHERE: dict[str, Callable[[Event], Event]] = {
    "rufus.get_device": _by_path("deviceid", "F9" * 32),
    "rufus.unbind_device": _by_path("deviceid", "F9" * 32),
    "quectel.device_info": _by_keys,
    "quectel.get_device_info_by_binding": _by_keys,
    "quectel.set_device_info": _by_keys,
    "quectel.unbundling_device_dk": _by_keys,
    "quectel.share_info": _by_keys,
    "quectel.share_device": lambda event: world.query(event, shareCode="A" * 200),
    "asseco.get_device": _by_path("imei", "990000862471899"),
    "asseco.unregister_device": _by_path("imei", "990000862471899"),
    "asseco.set_nickname": _by_path("device-id", "990000862471899"),
    "asseco.set_push_handle": _by_path("device-id", "990000862471899"),
    "asseco.block_device": _by_path("device-id", "990000862471899"),
    "asseco.unblock_device": _by_path("device-id", "990000862471899"),
    "asseco.get_issued_device": _by_path("device-id", "CARD-0099"),
    "asseco.set_issued_nickname": _by_path("device-id", "CARD-0099"),
    "remoteit.connect_device": lambda event: world.body(event, deviceaddress=NOWHERE_ADDRESS),
    "remoteit.stop_connection": lambda event: world.body(event, deviceaddress=NOWHERE_ADDRESS),
}
"""By operation that is about one thing: the request about a thing that does not exist."""

NAMES_NOTHING = {
    "rufus.list_devices",
    "quectel.user_device_list",
    "asseco.list_owned_devices",
    "asseco.list_issued_devices",
    "asseco.list_classifications",
    "remoteit.list_all",
    "vodlix.get_configs",
}
"""Whose answers are the caller's own, or everybody's."""

TOLD_APART = {
    "rufus.bind_device": "a device is its company's by its very name, so nothing of another's is asked",
    "quectel.bind_device_sn": "the document has codes of their own: 5412 and 5049, beside 5090",
    "quectel.email_pwd_login": "the API has a code of its own for an address that nobody has: 5031",
    "asseco.register_owned_device": "the API says imei-not-unique, whoever's the device is",
    "asseco.get_classification": "classifications are everybody's",
    "remoteit.login": "below: the address of somebody in another account, and one that nobody has",
    "vodlix.add_device": "players are nobody's",
    "vodlix.check_device": "players are nobody's",
    "vodlix.record_activity": "players are nobody's",
}
"""The others, and why."""


STRANGERS = [(name, another_account) for name in NOWHERE] + [
    (name, another_user) for name in NOWHERE if name.startswith("quectel.") and name != "quectel.share_device"
]
"""By operation: everybody to whom the thing is a stranger's. Other users of an account have what the account has."""


def watched(name: str, request: Event) -> tuple[Response, list[str]]:
    """The answer, and the calls that it took: how long it takes tells as much as what it says."""
    handler = template.function(name).load()
    with calls.recording(name) as invocation:
        answer = handler(request, SimpleNamespace(aws_request_id="lambda-1"))
    return Response(answer["statusCode"], answer["headers"], answer["body"]), invocation.dynamodb


def unnamed(answer: Response, *requests: Event) -> tuple[int, dict[str, str], str]:
    """An answer without the name of the thing that was asked for."""
    body = answer.body
    for request in requests:
        for value in (request.get("pathParameters") or {}).values():
            body = body.replace(value, "…")
    return answer.status, answer.headers, body.replace(NOWHERE_ADDRESS, "…").replace(world.ADDRESS, "…")


@pytest.mark.parametrize(("name", "stranger"), STRANGERS, ids=lambda part: getattr(part, "__name__", part))
def test_what_is_anothers_is_answered_and_looked_for_as_what_does_not_exist(
    name: str, stranger: Callable[[Stage], Event], stage: Callable[[str, str], Stage]
) -> None:
    column = columns(name)[-1]
    theirs = stranger(stage(name, column))
    nowhere = NOWHERE[name](theirs)
    found, looked = watched(name, theirs)
    missed, tried = watched(name, nowhere)
    assert unnamed(found, theirs) == unnamed(missed, nowhere)
    assert looked == tried


def test_every_operation_is_here() -> None:
    assert {*NOWHERE, *NAMES_NOTHING, *TOLD_APART} == set(world.OPERATIONS)
    assert len(NOWHERE) + len(NAMES_NOTHING) + len(TOLD_APART) == len(world.OPERATIONS)


def test_a_login_does_not_tell_who_is_in_another_account(stage: Callable[[str, str], Stage]) -> None:
    theirs = another_account(stage("remoteit.login", "remoteit key"))
    nobodys = world.body(theirs, username="nobody@example.com")
    found, looked = watched("remoteit.login", theirs)
    missed, tried = watched("remoteit.login", nobodys)
    assert (found.status, found.headers, found.body) == (missed.status, missed.headers, missed.body)
    assert looked == tried
