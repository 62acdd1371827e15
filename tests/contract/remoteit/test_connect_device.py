import json
from typing import NoReturn

import pytest
from botocore.exceptions import EndpointConnectionError

from bindery.aws.dynamodb import Delete, Table, write
from bindery.connectivity import service_addresses
from bindery.directory import accounts, api_keys, sessions, users
from bindery.directory.api_keys import Grant, Kind
from bindery.registry import devices, identity, items
from bindery.rufus import company_devices
from tests import calls
from tests.concurrency.races import before
from tests.http_api import Response, event, invoke
from tests.tables import everything, stored
from tools import template

pytestmark = pytest.mark.usefixtures("registry")

ADDRESS = "80:00:00:00:00:00:00:F1"


@pytest.fixture(autouse=True)
def request_(registry: None) -> dict[str, object]:
    """Return the request of a user to connect to a device of their account."""
    accounts.create("acme", name="Acme")
    users.create("ann", "acme")
    company_devices.bind("acme", "M", "S", alias=None, firmware=None, kind=None)
    service_addresses.assign(ADDRESS, identity.company_device("acme", "M", "S"))
    headers = {
        "developerkey": api_keys.issue("acme", Kind.REMOTEIT, Grant.READ_WRITE, alias="demo"),
        "token": sessions.issue("ann", "remoteit", 3600)[0],
    }
    return event("POST", "/apv/v27/device/connect", headers=headers, body=json.dumps({"deviceaddress": ADDRESS}))


def connect(request_: dict[str, object]) -> Response:
    return invoke("remoteit.connect_device", request_)


def unreachable() -> NoReturn:
    raise EndpointConnectionError(endpoint_url="https://secret.internal")


def broken() -> NoReturn:
    raise ZeroDivisionError("secret inner text")


def test_connecting_takes_one_batch_read_and_one_transaction(request_: dict[str, object]) -> None:
    with calls.recording("remoteit.connect_device") as invocation:
        template.function("remoteit.connect_device").load()(request_, None)
    assert invocation.dynamodb == ["BatchGetItem", "TransactWriteItems"]


@pytest.mark.parametrize("method", ["batch_get_item", "transact_write_items"])
@pytest.mark.parametrize(
    ("failure", "status", "reason"),
    [(unreachable, 503, "service unavailable, try again"), (broken, 500, "internal server error")],
)
def test_internal_failure_is_5xx_and_creates_no_connection(
    method: str,
    failure: object,
    status: int,
    reason: str,
    request_: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stands = everything()
    before(monkeypatch, method, failure)  # type: ignore[arg-type]
    answer = connect(request_)
    assert (answer.status, answer.body) == (status, f'{{"status":"false","reason":"{reason}"}}')
    assert answer.headers.get("Retry-After") == ("1" if status == 503 else None)
    assert everything() == stands


@pytest.mark.parametrize(
    ("refusal", "status", "reason"),
    [
        ("ban", 403, "the device is banned"),
        ("inactive", 404, "the device is not active"),
        ("unbound", 403, f"[0405] {ADDRESS} is not available for public access and is not shared with you."),
    ],
)
def test_change_after_the_read_is_answered_as_if_made_before(
    refusal: str, status: int, reason: str, request_: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    device = identity.company_device("acme", "M", "S")
    change = {
        "ban": lambda: devices.ban(device, "stolen"),
        "inactive": lambda: devices.deactivate(device),
        "unbound": lambda: write(Delete(items.owner(device))),
    }[refusal]
    before(monkeypatch, "transact_write_items", change)
    answer = connect(request_)
    assert (answer.status, answer.body) == (status, f'{{"status":"false","reason":"{reason}"}}')
    assert [item["sk"] for item in stored(Table.BINDINGS) if item["sk"] != "owner"] == []


def test_no_credential_is_stored_or_logged(request_: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    connect(request_)
    seen = capsys.readouterr().out + json.dumps(everything(), default=str)
    headers = request_["headers"]
    assert isinstance(headers, dict)
    assert not any(credential in seen for credential in headers.values())
