"""Tenants and credentials: every operation under every condition responds as its API documents, without changes.

The matrix is data: an API's response under a condition, and the operations that respond differently. Impossible cells
are listed with the reason. Two rules spare most operations an exception: a credential that may only read is accepted by
routes that read, and an operation whose role reaches no tenant's data responds the same to other tenants.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from bindery.directory import users
from bindery.registry import holdings
from bindery.remoteit import dialect
from tests.http_api import invoke
from tests.properties import world
from tests.properties.conditions import CONDITIONS
from tests.properties.staging import Stage, columns, holds_tenants_data, is_open, refused, timeless, told
from tests.properties.world import ADDRESS, World, phone
from tests.tables import everything
from tools import template


@dataclass(frozen=True)
class Says:
    """A response, compared byte for byte."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Like:
    """The response to the operation's own request, except for these fields at any depth."""

    members: Mapping[str, Any | Callable[[World], Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Never:
    """An impossible cell, with the reason."""

    why: str


SAME = Like()
Cell = Says | Like | Never


def _rufus(status: int, text: str) -> Says:
    return Says(status, f'{{"description":"{text}"}}')


def _quectel(code: int, text: str, data: str = "null") -> Says:
    return Says(200, f'{{"code":{code},"data":{data},"extMsg":"","msg":"{text}"}}')


def _asseco(status: int, problem: str, text: str, bearer: str | None = None) -> Says:
    headers = {} if bearer is None else {"WWW-Authenticate": f'Bearer realm="device"{bearer}'}
    return Says(status, f'{{"problem":"{problem}","message":"{text}"}}', headers)


def _remoteit(status: int, text: str) -> Says:
    return Says(status, f'{{"status":"false","reason":"{text}","code":"GENERAL_ERROR"}}')


def _accepted(here: World) -> str:
    """Return the time at which the share was accepted and its user got the device."""
    (place,) = holdings.of_user(here.ben.uid)
    return dialect.written(place["bound_at"])


def _user(uid: str) -> Like:
    """Return the response that shows this user."""
    registered = {name: lambda _: users.show(uid)["created_at"] for name in ("registerTime", "registerTimeTs")}
    return Like({"uid": uid, "phone": phone(uid), **registered})


_BANNED_PLAYER = (
    '{"status":400,"timestamp":0,"time":0,"ip":"203.0.113.9","message":"Device is banned","error_code":"device_banned",'
    '"data":[]}'
)

NOBODY = Never("this API has no credentials")
NO_USERS = Never("the caller in this API is an account, not a user, and devices are not shared")
BANK = Never("customers belong to the bank and have no account, users or shares here")
PEOPLE = Never("a session token has no rights of its own: rights are stored with the user")
SIGNED = Never("a login has a signature and a password, without expiry, rights or API")
APPLICATION = Never("a developer key belongs to an application, not a user")
NO_DEVICE = Never("the operation does not concern a device that can be banned")

BAD_KEY = _rufus(403, "Invalid api key")
BAD_TOKEN = _quectel(5032, "Token verification failed")
BAD_SIGNATURE = _quectel(5420, "Signature verification failed")
BAD_PASSWORD = _quectel(5012, "Incorrect user name or password")
BAD_BEARER = _asseco(401, "unauthorized", "The access token is not valid", ', error="invalid_token"')
BAD_DEVELOPER_KEY = _remoteit(401, "invalid developer key")
BAD_API_TOKEN = _remoteit(401, "invalid api token")
NOT_SHARED = _remoteit(403, f"[0405] {ADDRESS} is not available for public access and is not shared with you.")
NO_SERVICE = _remoteit(404, "[0861] no such service")
NOT_STOPPED = _remoteit(401, "missing or invalid deviceaddress or connectionid")
NOT_BOUND = _quectel(5052, "Device not bound")
NOT_OWNED = _asseco(404, "device-not-exist", "The device does not exist")
BANNED = _quectel(5009, "Device verification failed")
TAKEN = _quectel(5412, "Product binding mode is unique, cannot bind repeatedly")
HAS_SHARE = _quectel(6040, "Already accepted device sharing")
EMPTY_PAGE = _quectel(
    200,
    "",
    '{"list":[],"total":0,"pageNum":1,"pageSize":10,"pages":0,"size":0,"startRow":0,"endRow":0,"prePage":0,'
    '"nextPage":0,"isFirstPage":true,"isLastPage":true,"hasPreviousPage":false,"hasNextPage":false,"navigatePages":8,'
    '"navigatepageNums":[],"navigateFirstPage":0,"navigateLastPage":0}',
)
NOT_SENT = _quectel(
    200,
    "",
    f'{{"successList":[],"failureList":[{{"data":{{"productKey":"{world.PK}","deviceKey":"{world.DK}"}},'
    '"msg":"Device not bound"}]}',
)
SHARED = Like({"deviceType": 2, "uid": "ben", "deviceName": "Ada's door"})

INVALID = ("malformed", "expired", "revoked", "of another api")
"""Conditions of a credential that most APIs do not distinguish."""
OTHERS = ("another account", "another user", "shared user")

OPEN: dict[str, Cell] = dict.fromkeys(CONDITIONS, NOBODY) | {
    "no credential": SAME,
    "malformed": SAME,  # it is ignored
}
"""An API without credentials."""

# By credential that the condition concerns. An API that is not listed is open.
MATRIX: dict[str, dict[str, Cell]] = {
    "rufus": {
        "no credential": _rufus(403, "Missing api key"),
        **dict.fromkeys((*INVALID, "disabled account"), BAD_KEY),
        "read only": _rufus(403, "Wrong api key access type"),
        "another account": _rufus(404, "Device not found"),
        "another user": SAME,  # another key of the account
        **dict.fromkeys(("shared user", "disabled user"), NO_USERS),
        "banned device": SAME,
    },
    "quectel": {
        "no credential": _quectel(5106, "Please enter token"),
        **dict.fromkeys((*INVALID, "disabled account", "disabled user"), BAD_TOKEN),
        "read only": PEOPLE,
        "another account": NOT_BOUND,
        "another user": NOT_BOUND,
        "shared user": SHARED,
        "banned device": SAME,
    },
    "quectel login": {
        # The app's secret is replaced in "revoked".
        **dict.fromkeys(("no credential", "malformed", "revoked"), BAD_SIGNATURE),
        **dict.fromkeys(("expired", "of another api", "read only"), SIGNED),
        **dict.fromkeys(OTHERS, SAME),
        **dict.fromkeys(("disabled account", "disabled user"), BAD_PASSWORD),
        "banned device": NO_DEVICE,
    },
    "asseco": {
        "no credential": _asseco(401, "unauthorized", "An access token is required", ""),
        # The issuer withdraws the key in "revoked".
        **dict.fromkeys(INVALID, BAD_BEARER),
        "read only": _asseco(
            403, "forbidden", "The access token does not have the scope that this needs", ', error="insufficient_scope"'
        ),
        "another account": NOT_OWNED,  # another customer
        **dict.fromkeys(("another user", "shared user", "disabled account", "disabled user"), BANK),
        "banned device": SAME,
    },
    "remoteit key": {
        "no credential": _remoteit(401, "missing developer key"),
        **dict.fromkeys((*INVALID, "disabled account"), BAD_DEVELOPER_KEY),
        "read only": SAME,  # the API's keys name an application and have no access types
        **dict.fromkeys(("another account", "another user"), SAME),
        **dict.fromkeys(("shared user", "disabled user", "banned device"), APPLICATION),
    },
    "remoteit token": {
        "no credential": _remoteit(401, "missing api token"),
        **dict.fromkeys((*INVALID, "disabled account", "disabled user"), BAD_API_TOKEN),
        "read only": PEOPLE,
        "another account": NOT_SHARED,
        "another user": SAME,  # the device belongs to their account
        "shared user": SAME,
        "banned device": _remoteit(403, "the device is banned"),
    },
    "vodlix": OPEN | {"banned device": Says(400, _BANNED_PLAYER)},
}

REMOTE_LISTS = ("remoteit.list_all", "remoteit.find_by_name")

# By condition and operation. Where an operation accepts two credentials, the condition concerns the user's token.
EXCEPTIONS: dict[str, dict[str, Cell]] = {
    "no credential": {"quectel.refresh_token": BAD_TOKEN},
    "expired": {"quectel.refresh_token": SAME},
    "another account": {
        "rufus.bind_device": Like({"deviceid": lambda here: world.sample_device_id(here.cleo)}),
        "rufus.list_devices": Says(
            200, '{"description":"Success","result":[],"pagination":{"page":1,"limit":100,"total":0,"has_more":false}}'
        ),
        **dict.fromkeys(
            ("rufus.unbind_device", "rufus.open_session"),
            Says(404, '{"description":"Device not found","deviceid":"{deviceid}"}'),
        ),
        "rufus.insert_passings": _rufus(404, "Session not found or closed"),
        "rufus.list_passings": Says(
            200, '{"description":"Success","result":[],"pagination":{"limit":100,"has_more":false,"cursor":null}}'
        ),
        "quectel.bind_device_sn": TAKEN,
        "quectel.get_device_info_by_binding": SAME,
        "quectel.user_device_list": EMPTY_PAGE,
        "quectel.batch_control_device": NOT_SENT,
        "quectel.share_device": _quectel(5136, "Invalid share code"),
        **dict.fromkeys(("quectel.get_product_list", "quectel.product_tsl", "quectel.refresh_token"), SAME),
        "quectel.user_info": _user("cleo"),
        "asseco.register_owned_device": _asseco(
            440, "imei-not-unique", "A device with this identifier is registered already"
        ),
        **dict.fromkeys(("asseco.list_owned_devices", "asseco.list_issued_devices"), Says(200, '{"devices":[]}')),
        **dict.fromkeys(
            ("remoteit.login", "remoteit.login_by_authhash"),
            _remoteit(401, "[0102] The username or password are invalid"),
        ),
        **dict.fromkeys(("remoteit.logout", "remoteit.get_user"), SAME),
        **dict.fromkeys(REMOTE_LISTS, Says(200, '{"status":"true","devices":[],"cache_expires":0,"length":0}')),
        "remoteit.count_devices": Like(dict.fromkeys(("mine", "active", "services", "registered", "activated"), 0)),
        "remoteit.list_metadata": Says(200, '{"status":"true","devices":{}}'),
        "remoteit.delete_device": NO_SERVICE,
        "remoteit.stop_connection": NOT_STOPPED,
    },
    "another user": {
        "quectel.bind_device_sn": TAKEN,
        "quectel.user_device_list": EMPTY_PAGE,
        "quectel.batch_control_device": NOT_SENT,
        **dict.fromkeys(("quectel.get_device_info_by_binding", "quectel.share_device"), SAME),
        **dict.fromkeys(("quectel.get_product_list", "quectel.product_tsl", "quectel.refresh_token"), SAME),
        "quectel.user_info": _user("ben"),
        **dict.fromkeys(REMOTE_LISTS, Like({"ownerusername": "ben@example.com"})),
        "remoteit.stop_connection": NOT_STOPPED,
    },
    "shared user": {
        **dict.fromkeys(
            ("quectel.bind_device_sn", "quectel.get_device_info_by_binding", "quectel.share_device"), HAS_SHARE
        ),
        **{
            f"quectel.{name}": SAME
            for name in (
                *("get_product_list", "product_tsl", "refresh_token", "get_device_online_status", "set_device_info"),
                *("get_device_business_attributes", "batch_control_device"),
            )
        },
        **dict.fromkeys(("quectel.get_auth_key", "quectel.regenerate_auth_key"), _quectel(5041, "No permission")),
        "quectel.unbundling_device_dk": Like({"bindingSum": 1}),
        "quectel.share_info": _quectel(5135, "No permission to share this device"),
        "quectel.user_info": _user("ben"),
        **dict.fromkeys(
            REMOTE_LISTS,
            Like(
                {"shared": "shared-from", "ownerusername": "", "devicealias": "Ada's door"}
                | dict.fromkeys(("lastcontacted", "createdate"), _accepted)
            ),
        ),
        "remoteit.count_devices": Like({"mine": 0, "friends": 1, "registered": 0, "activated": 0}),
        "remoteit.delete_device": NO_SERVICE,
        "remoteit.stop_connection": NOT_STOPPED,
    },
    "banned device": {
        **{
            f"rufus.{name}": _rufus(403, "Device banned") for name in ("bind_device", "open_session", "insert_passings")
        },
        **dict.fromkeys(("quectel.bind_device_sn", "quectel.share_device"), BANNED),
        "asseco.register_owned_device": _asseco(
            440, "device-status-not-valid", "The device's status does not allow this"
        ),
        **dict.fromkeys(
            (
                *(
                    "quectel.refresh_token",
                    "quectel.user_info",
                    "asseco.get_issued_device",
                    "asseco.list_issued_devices",
                ),
                *("asseco.set_issued_nickname", "remoteit.logout", "remoteit.get_user"),
            ),
            NO_DEVICE,
        ),
        **dict.fromkeys(REMOTE_LISTS, Like({"devicestate": "inactive"})),
        "remoteit.count_devices": Like({"active": 0}),
        **{f"remoteit.{name}": SAME for name in ("list_metadata", "delete_device", "rename_device", "stop_connection")},
    },
}

CELLS = [(name, column, condition) for name in world.OPERATIONS for column in columns(name) for condition in CONDITIONS]
"""All cells."""


def usual(name: str, column: str, condition: str) -> Cell:
    """Return the cell of an operation that is not an exception."""
    if column not in MATRIX:
        assert is_open(column), f"MATRIX has no row {column}"
    found = MATRIX.get(column, OPEN)[condition]
    if isinstance(found, Says):
        if condition == "read only" and {route.method for route in template.function(name).routes} == {"GET"}:
            return SAME
        if condition in ("another account", "another user", "banned device") and not holds_tenants_data(name):
            return NO_DEVICE if condition == "banned device" else SAME
    return found


def exception(name: str, column: str, condition: str) -> Cell | None:
    return EXCEPTIONS.get(condition, {}).get(name) if column == columns(name)[-1] else None


def cell(name: str, column: str, condition: str) -> Cell:
    return exception(name, column, condition) or usual(name, column, condition)


@pytest.mark.parametrize(
    ("name", "column", "condition"),
    [found for found in CELLS if not isinstance(cell(*found), Never)],
    ids=lambda part: part.replace(" ", "-"),
)
def test_every_operation_answers_every_credential_as_documented(
    name: str, column: str, condition: str, stage: Callable[[str, str], Stage]
) -> None:
    expected = cell(name, column, condition)
    own = invoke(name, stage(name, column).request())
    assert not refused(name, own)
    staged = stage(name, column)
    request = CONDITIONS[condition](staged)
    before = everything()
    answer = timeless(invoke(name, request))
    if refused(name, answer):
        assert everything() == before, "a refusal leaves nothing behind"
    if isinstance(expected, Says):
        body = expected.body.replace("{deviceid}", world.sample_device_id(staged.here.ada))
        assert (answer.status, answer.body) == (expected.status, body)
        assert {header: answer.headers.get(header) for header in expected.headers} == expected.headers
        return
    assert isinstance(expected, Like)
    members = {k: value(staged.here) if callable(value) else value for k, value in expected.members.items()}
    assert told(answer) == told(own, members)


def test_every_cell_has_an_answer_or_a_reason() -> None:
    assert {name for row in EXCEPTIONS.values() for name in row} <= set(world.OPERATIONS)
    assert EXCEPTIONS.keys() <= CONDITIONS.keys()
    assert all(set(row) == set(CONDITIONS) for row in (OPEN, *MATRIX.values()))
    for found in CELLS:
        expected = cell(*found)
        assert not isinstance(expected, Never) or expected.why
        assert exception(*found) is None or exception(*found) != usual(*found), found
