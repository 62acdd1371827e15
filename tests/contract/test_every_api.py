"""Rules of every API, tested on one write operation of each."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import pytest

from bindery.aws.errors import ConnectionFailed
from bindery.http import operation
from bindery.registry import devices
from tests import aws_calls
from tests.http_api import Response, invoke
from tests.records import PK, Caller
from tests.sample_requests import sample
from tests.tables import everything
from tools.generate.openapi.asked import body_of

pytestmark = pytest.mark.usefixtures("caller")


@dataclass(frozen=True)
class Dialect:
    """Operation of a dialect, with the responses that differ between dialects."""

    operation: str
    serial: str
    """Name of the field that identifies a device."""
    malformed: tuple[int, str]
    unavailable: tuple[int, str]

    @property
    def fields(self) -> dict[str, Any]:
        given = sample(self.operation)
        return dict(parse_qsl(given["rawQueryString"])) if self is QUECTEL else body_of(given) or {}

    @property
    def headers(self) -> dict[str, str]:
        return _ada.headers.get(self.operation.partition(".")[0], {})

    def ask(
        self,
        given: Any = None,
        *,
        content_type: str | None = None,
        headers: dict[str, str] | None = None,
        spell: Callable[[str], str] = str,
    ) -> Response:
        """Send the sample's fields, or another body (text, bytes, or an object)."""
        given = self.fields if given is None else given
        sent = (self.headers if headers is None else headers) | ({"content-type": content_type} if content_type else {})
        if self is not QUECTEL:
            given = given if isinstance(given, str | bytes) else json.dumps(given, ensure_ascii=False)
        parts = {"query": given} if self is QUECTEL else {"body": given}
        request = sample(self.operation, **parts)
        request["headers"] = {spell(name): value for name, value in sent.items()}
        request["requestContext"]["requestId"] = "request-1"
        return invoke(self.operation, request)


_ada: Caller

RUFUS = Dialect(
    "rufus.bind_device",
    "serial_number",
    (400, '{"description":"Malformed request body: a JSON object is expected"}'),
    (503, '{"description":"Service unavailable, try again"}'),
)
QUECTEL = Dialect(
    "quectel.bind_device_sn",
    "sn",
    (200, '{"code":5048,"data":null,"extMsg":"","msg":"Device binding failed"}'),
    (200, '{"code":5314,"data":null,"extMsg":"","msg":"Device query failed in cloud platform"}'),
)
ASSECO = Dialect(
    "asseco.register_owned_device",
    "external-device-identifier",
    (
        400,
        '{"errors":[{"tag":"body","error":"invalid-format","message":"The value does not have the format required"}]}',
    ),
    (503, '{"problem":"service-unavailable","message":"Service unavailable, try again"}'),
)
REMOTEIT = Dialect(
    "remoteit.connect_device",
    "deviceaddress",
    (400, '{"status":"false","reason":"malformed request body: a JSON object is expected","code":"GENERAL_ERROR"}'),
    (503, '{"status":"false","reason":"service unavailable, try again","code":"GENERAL_ERROR"}'),
)
VODLIX = Dialect(
    "vodlix.add_device",
    "mac_address",
    (400, "Malformed request body: a JSON object or a form is expected"),
    (503, "Service unavailable, try again"),
)
ALL = [RUFUS, QUECTEL, ASSECO, REMOTEIT, VODLIX]
WITH_BODY = [RUFUS, ASSECO, REMOTEIT, VODLIX]
"""APIs that read a body. quectel's parameters are in the query, and it ignores any body."""

every = pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.operation)
with_body = pytest.mark.parametrize("dialect", WITH_BODY, ids=lambda dialect: dialect.operation)


@pytest.fixture
def caller(ada: Caller) -> None:
    global _ada
    _ada = ada
    devices.manufacture(PK, "caf\u00e9", device_key="ABCD1234")


def succeeded(answer: Response) -> bool:
    if '"code":' in answer.body:
        return '"code":200' in answer.body
    return answer.status in (200, 201)


def told(dialect: Dialect, answer: Response) -> tuple[int, str]:
    """Return status and body, or for vodlix only the message, because its body contains the time."""
    return answer.status, answer.json()["message"] if dialect is VODLIX else answer.body


@with_body
@pytest.mark.parametrize(
    "content_type", [None, "application/json", "text/plain", "application/x-www-form-urlencoded", "image/png"]
)
def test_body_is_parsed_as_json_regardless_of_content_type(dialect: Dialect, content_type: str | None) -> None:
    body = json.dumps(dialect.fields)
    as_delivered = body if content_type in ("application/json", "text/plain") else body.encode()
    assert succeeded(dialect.ask(as_delivered, content_type=content_type))


@pytest.mark.parametrize("dialect", [RUFUS, QUECTEL, ASSECO, REMOTEIT], ids=lambda dialect: dialect.operation)
def test_credentials_are_checked_before_the_parameters(dialect: Dialect) -> None:
    refusal = dialect.ask(headers={})
    assert dialect.ask({}, headers={}) == refusal != dialect.ask({})


@every
def test_unknown_and_protected_fields_are_never_stored(dialect: Dialect) -> None:
    names = ("owner", "holder", "account", "status", "banned_at", "ban_status", "binding", "created_at", "shares")
    planted = dict.fromkeys(names, "planted")
    assert succeeded(dialect.ask(dialect.fields | planted))
    assert "planted" not in str(everything())


@pytest.mark.parametrize("dialect", [RUFUS, QUECTEL, ASSECO, VODLIX], ids=lambda dialect: dialect.operation)
def test_serials_are_compared_trimmed_and_normalized(dialect: Dialect) -> None:
    def devices_after(serial: str) -> list[dict[str, Any]]:
        dialect.ask(dialect.fields | {dialect.serial: serial})
        return [item for table in ("DEVICES", "BINDINGS") for item in everything()[table]]

    composed = devices_after("caf\u00e9")
    again = devices_after(" cafe\u0301 ")
    assert [item["pk"] for item in again] == [item["pk"] for item in composed]


INVALID = {
    RUFUS.operation: (400, '{"description":"Invalid parameter: serial_number"}'),
    QUECTEL.operation: (200, '{"code":5090,"data":null,"extMsg":"","msg":"Requested device SN invalid"}'),
    ASSECO.operation: (
        400,
        '{"errors":[{"tag":"external-device-identifier","error":"invalid-format",'
        '"message":"The value does not have the format required"}]}',
    ),
    REMOTEIT.operation: (400, '{"status":"false","reason":"invalid deviceaddress","code":"GENERAL_ERROR"}'),
    VODLIX.operation: (400, "Invalid parameters: mac_address"),
}
"""Response of each dialect to an invalid identifier."""


def invisible(dialect: Dialect, character: str) -> tuple[int, str]:
    """Return the response to an identifier with this character. It names the character unless its text is fixed."""
    status, text = INVALID[dialect.operation]
    name = f"U+{ord(character):04X}"
    named = text.replace(dialect.serial, f"{dialect.serial} ({name})")
    if dialect is ASSECO:
        named = text.replace("does not have the format required", f"contains the invisible character {name}")
    return status, named


@every
@pytest.mark.parametrize(
    "character", ["\u200b", "\ufeff", "\u202e", "\u2066", "\u00ad", "\u3164", "\u00a0", "\U000e0041"]
)
def test_invisible_character_in_identifier_is_refused_by_name(dialect: Dialect, character: str) -> None:
    before = everything()
    identifier = dialect.fields[dialect.serial]
    answer = dialect.ask(dialect.fields | {dialect.serial: f"{identifier[:2]}{character}{identifier[2:]}"})
    assert told(dialect, answer) == invisible(dialect, character)
    assert everything() == before


@pytest.mark.parametrize("dialect", [RUFUS, QUECTEL, ASSECO, VODLIX], ids=lambda dialect: dialect.operation)
@pytest.mark.parametrize(
    "placeholder", ["02:00:00:00:00:00", "000000000000", "ff-ff-ff-ff-ff-ff", "unknown", "000000000000000"]
)
def test_placeholder_is_not_an_identifier(dialect: Dialect, placeholder: str) -> None:
    before = everything()
    answer = dialect.ask(dialect.fields | {dialect.serial: placeholder})
    assert told(dialect, answer) == INVALID[dialect.operation]
    assert everything() == before


@pytest.mark.parametrize(
    ("dialect", "field", "name"),
    [
        (RUFUS, "alias", "Caf\u00e9 \u200d\U0001f469"),
        (ASSECO, "nickname", "\u0645\u06cc\u200c\u062e"),
        (VODLIX, "app_name", "\ufeffApp"),
    ],
    ids=["alias", "nickname", "app_name"],
)
def test_name_needs_one_visible_character(dialect: Dialect, field: str, name: str) -> None:
    before = everything()
    for unseen in ("\u200b", "\u3164 \u202e"):
        answer = dialect.ask(dialect.fields | {field: unseen})
        assert answer.status == 400
        assert field in answer.body
    assert everything() == before
    assert succeeded(dialect.ask(dialect.fields | {field: name}))


@with_body
def test_body_over_16_kib_is_refused(dialect: Dialect) -> None:
    room = 16 * 1024 - len(json.dumps(dialect.fields | {"pad": ""}))
    over = dialect.ask(dialect.fields | {"pad": "x" * (room + 1)})
    assert told(dialect, over) == dialect.malformed
    assert succeeded(dialect.ask(dialect.fields | {"pad": "x" * room}))


@every
def test_unreachable_registry_gets_retry_after(dialect: Dialect, monkeypatch: pytest.MonkeyPatch) -> None:
    before, headers = everything(), dialect.headers
    written = io.StringIO()
    monkeypatch.setattr(operation.logger.registered_handler, "stream", written)

    def fail(**_: Any) -> None:
        raise ConnectionFailed("EndpointConnectionError")

    with monkeypatch.context() as patch:
        for method in ("GetItem", "BatchGetItem", "PutItem", "UpdateItem", "TransactWriteItems"):
            aws_calls.replace(patch, method, fail)
        answer = dialect.ask(headers=headers)
    assert told(dialect, answer) == dialect.unavailable
    assert answer.headers["Retry-After"] == "1"
    assert [json.loads(line)["level"] for line in written.getvalue().splitlines()] == ["ERROR", "INFO"]
    assert everything() == before
