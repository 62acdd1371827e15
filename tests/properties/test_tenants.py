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

OPEN: dict[str, Cell] = dict.fromkeys(CONDITIONS, NOBODY) | {
    "no credential": SAME,
    "malformed": SAME,  # it is ignored
}
"""An API without credentials."""

# By credential that the condition concerns. An API that is not listed is open.
MATRIX: dict[str, dict[str, Cell]] = {
    "rufus": {
        "no credential": _rufus(403, "Missing api key"),
        "malformed": BAD_KEY,
        "expired": BAD_KEY,
        "revoked": BAD_KEY,
        "of another api": BAD_KEY,
        "read only": _rufus(403, "Wrong api key access type"),
        "another account": _rufus(404, "Device not found"),
        "another user": SAME,  # another key of the account
        "shared user": NO_USERS,
        "disabled account": BAD_KEY,
        "disabled user": NO_USERS,
        "banned device": SAME,
    },
    "quectel": {
        "no credential": _quectel(5106, "Please enter token"),
        "malformed": BAD_TOKEN,
        "expired": BAD_TOKEN,
        "revoked": BAD_TOKEN,
        "of another api": BAD_TOKEN,
        "read only": PEOPLE,
        "another account": NOT_BOUND,
        "another user": NOT_BOUND,
        "shared user": SHARED,
        "disabled account": BAD_TOKEN,
        "disabled user": BAD_TOKEN,
        "banned device": SAME,
    },
    "quectel login": {
        "no credential": BAD_SIGNATURE,
        "malformed": BAD_SIGNATURE,
        "expired": SIGNED,
        "revoked": BAD_SIGNATURE,  # the app's secret was replaced
        "of another api": SIGNED,
        "read only": SIGNED,
        "another account": SAME,
        "another user": SAME,
        "shared user": SAME,
        "disabled account": BAD_PASSWORD,
        "disabled user": BAD_PASSWORD,
        "banned device": NO_DEVICE,
    },
    "asseco": {
        "no credential": _asseco(401, "unauthorized", "An access token is required", ""),
        "malformed": BAD_BEARER,
        "expired": BAD_BEARER,
        "revoked": BAD_BEARER,  # the issuer withdrew the key
        "of another api": BAD_BEARER,
        "read only": _asseco(
            403, "forbidden", "The access token does not have the scope that this needs", ', error="insufficient_scope"'
        ),
        "another account": NOT_OWNED,  # another customer
        "another user": BANK,
        "shared user": BANK,
        "disabled account": BANK,
        "disabled user": BANK,
        "banned device": SAME,
    },
    "remoteit key": {
        "no credential": _remoteit(401, "missing developer key"),
        "malformed": BAD_DEVELOPER_KEY,
        "expired": BAD_DEVELOPER_KEY,
        "revoked": BAD_DEVELOPER_KEY,
        "of another api": BAD_DEVELOPER_KEY,
        "read only": SAME,  # the API's keys name an application and have no access types
        "another account": SAME,
        "another user": SAME,
        "shared user": APPLICATION,
        "disabled account": BAD_DEVELOPER_KEY,
        "disabled user": APPLICATION,
        "banned device": APPLICATION,
    },
    "remoteit token": {
        "no credential": _remoteit(401, "missing api token"),
        "malformed": BAD_API_TOKEN,
        "expired": BAD_API_TOKEN,
        "revoked": BAD_API_TOKEN,
        "of another api": BAD_API_TOKEN,
        "read only": PEOPLE,
        "another account": NOT_SHARED,
        "another user": SAME,  # the device belongs to their account
        "shared user": SAME,
        "disabled account": BAD_API_TOKEN,
        "disabled user": BAD_API_TOKEN,
        "banned device": _remoteit(403, "the device is banned"),
    },
    "vodlix": OPEN | {"banned device": Says(400, _BANNED_PLAYER)},
}

EXCEPTIONS: dict[tuple[str, str, str], Cell] = {
    ("rufus.bind_device", "rufus", "another account"): Like(
        {"deviceid": lambda here: world.sample_device_id(here.cleo)}
    ),
    ("rufus.list_devices", "rufus", "another account"): Says(
        200, '{"description":"Success","result":[],"pagination":{"page":1,"limit":100,"total":0,"has_more":false}}'
    ),
    ("rufus.unbind_device", "rufus", "another account"): Says(
        404, '{"description":"Device not found","deviceid":"{deviceid}"}'
    ),
    ("rufus.open_session", "rufus", "another account"): Says(
        404, '{"description":"Device not found","deviceid":"{deviceid}"}'
    ),
    ("rufus.open_session", "rufus", "banned device"): _rufus(403, "Device banned"),
    ("rufus.insert_passings", "rufus", "another account"): _rufus(404, "Session not found or closed"),
    ("rufus.insert_passings", "rufus", "banned device"): _rufus(403, "Device banned"),
    ("rufus.list_passings", "rufus", "another account"): Says(
        200, '{"description":"Success","result":[],"pagination":{"limit":100,"has_more":false,"cursor":null}}'
    ),
    ("rufus.bind_device", "rufus", "banned device"): _rufus(403, "Device banned"),
    ("quectel.bind_device_sn", "quectel", "another account"): TAKEN,
    ("quectel.bind_device_sn", "quectel", "another user"): TAKEN,
    ("quectel.bind_device_sn", "quectel", "shared user"): HAS_SHARE,
    ("quectel.bind_device_sn", "quectel", "banned device"): BANNED,
    ("quectel.get_device_info_by_binding", "quectel", "another account"): SAME,
    ("quectel.get_device_info_by_binding", "quectel", "another user"): SAME,
    ("quectel.get_device_info_by_binding", "quectel", "shared user"): HAS_SHARE,
    ("quectel.user_device_list", "quectel", "another account"): EMPTY_PAGE,
    ("quectel.user_device_list", "quectel", "another user"): EMPTY_PAGE,
    **{
        (f"quectel.{name}", "quectel", condition): SAME
        for name in ("get_product_list", "product_tsl")
        for condition in ("another account", "another user", "shared user")
    },
    **{
        (f"quectel.{name}", "quectel", "shared user"): SAME
        for name in ("get_device_online_status", "get_device_business_attributes", "batch_control_device")
    },
    **{
        ("quectel.batch_control_device", "quectel", condition): NOT_SENT
        for condition in ("another account", "another user")
    },
    **{
        (f"quectel.{name}", "quectel", "shared user"): _quectel(5041, "No permission")
        for name in ("get_auth_key", "regenerate_auth_key")
    },
    ("quectel.set_device_info", "quectel", "shared user"): SAME,
    ("quectel.unbundling_device_dk", "quectel", "shared user"): Like({"bindingSum": 1}),
    ("quectel.share_info", "quectel", "shared user"): _quectel(5135, "No permission to share this device"),
    ("quectel.share_device", "quectel", "another account"): _quectel(5136, "Invalid share code"),
    ("quectel.share_device", "quectel", "another user"): SAME,
    ("quectel.share_device", "quectel", "shared user"): HAS_SHARE,
    ("quectel.share_device", "quectel", "banned device"): BANNED,
    **{
        ("quectel.refresh_token", "quectel", condition): cell
        for condition, cell in (
            ("no credential", BAD_TOKEN),
            *((text, SAME) for text in ("expired", "another account", "another user", "shared user")),
            ("banned device", NO_DEVICE),
        )
    },
    ("quectel.user_info", "quectel", "another account"): _user("cleo"),
    ("quectel.user_info", "quectel", "another user"): _user("ben"),
    ("quectel.user_info", "quectel", "shared user"): _user("ben"),
    ("quectel.user_info", "quectel", "banned device"): NO_DEVICE,
    ("asseco.register_owned_device", "asseco", "another account"): _asseco(
        440, "imei-not-unique", "A device with this identifier is registered already"
    ),
    ("asseco.register_owned_device", "asseco", "banned device"): _asseco(
        440, "device-status-not-valid", "The device's status does not allow this"
    ),
    ("asseco.list_owned_devices", "asseco", "another account"): Says(200, '{"devices":[]}'),
    ("asseco.list_issued_devices", "asseco", "another account"): Says(200, '{"devices":[]}'),
    **{
        (f"asseco.{name}", "asseco", "banned device"): NO_DEVICE
        for name in ("get_issued_device", "list_issued_devices", "set_issued_nickname")
    },
    **{
        (name, "remoteit key", "another account"): _remoteit(401, "[0102] The username or password are invalid")
        for name in ("remoteit.login", "remoteit.login_by_authhash")
    },
    ("remoteit.logout", "remoteit token", "another account"): SAME,
    ("remoteit.get_user", "remoteit token", "another account"): SAME,
    ("remoteit.logout", "remoteit token", "banned device"): NO_DEVICE,
    ("remoteit.get_user", "remoteit token", "banned device"): NO_DEVICE,
    **{
        (name, "remoteit token", condition): says
        for name in ("remoteit.list_all", "remoteit.find_by_name")
        for condition, says in {
            "another account": Says(200, '{"status":"true","devices":[],"cache_expires":0,"length":0}'),
            "another user": Like({"ownerusername": "ben@example.com"}),
            "shared user": Like(
                {
                    "shared": "shared-from",
                    "ownerusername": "",
                    "devicealias": "Ada's door",
                    "lastcontacted": _accepted,
                    "createdate": _accepted,
                }
            ),
            "banned device": Like({"devicestate": "inactive"}),
        }.items()
    },
    ("remoteit.count_devices", "remoteit token", "another account"): Like(
        dict.fromkeys(("mine", "active", "services", "registered", "activated"), 0)
    ),
    ("remoteit.count_devices", "remoteit token", "shared user"): Like(
        {"mine": 0, "friends": 1, "registered": 0, "activated": 0}
    ),
    ("remoteit.count_devices", "remoteit token", "banned device"): Like({"active": 0}),
    ("remoteit.list_metadata", "remoteit token", "another account"): Says(200, '{"status":"true","devices":{}}'),
    ("remoteit.list_metadata", "remoteit token", "banned device"): SAME,
    ("remoteit.delete_device", "remoteit token", "another account"): NO_SERVICE,
    ("remoteit.delete_device", "remoteit token", "shared user"): NO_SERVICE,
    ("remoteit.delete_device", "remoteit token", "banned device"): SAME,
    ("remoteit.rename_device", "remoteit token", "banned device"): SAME,
    ("remoteit.stop_connection", "remoteit token", "another account"): NOT_STOPPED,
    ("remoteit.stop_connection", "remoteit token", "another user"): NOT_STOPPED,
    ("remoteit.stop_connection", "remoteit token", "shared user"): NOT_STOPPED,
    ("remoteit.stop_connection", "remoteit token", "banned device"): SAME,
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


def cell(name: str, column: str, condition: str) -> Cell:
    return EXCEPTIONS.get((name, column, condition)) or usual(name, column, condition)


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
    assert set(EXCEPTIONS) <= set(CELLS), "an exception is one of a cell"
    assert all(set(row) == set(CONDITIONS) for row in (OPEN, *MATRIX.values()))
    assert len(CELLS) == sum(len(columns(name)) for name in world.OPERATIONS) * len(CONDITIONS)
    for found in CELLS:
        expected = cell(*found)
        assert not isinstance(expected, Never) or expected.why
        assert found not in EXCEPTIONS or EXCEPTIONS[found] != usual(*found), found
