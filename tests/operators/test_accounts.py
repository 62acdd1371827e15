"""Accounts, and the behavior common to all admin resources."""

from threading import Thread
from typing import Any

import pytest

from bindery.aws.dynamodb import Table
from bindery.core.errors import HotKey, Reason
from bindery.directory import accounts, api_keys
from bindery.directory.api_keys import Grant, Kind
from bindery.operators.resource import Resource
from tests.http_api import OPERATOR, Response, admin, event, invoke
from tests.invariants import broken
from tests.tables import everything, stored

pytestmark = pytest.mark.usefixtures("registry")


@pytest.mark.parametrize(
    "body",
    [
        *(b'{"account": "acme", "name": ' + b"9" * 5000 + b"}", b'{"account": "acme", "name": NaN}', b"[" * 100_000),
        *(b'[{"account": "acme", "name": "Acme"}]', b'{"account": "acme", "name": "Caf\xe9"}'),
        *(b'{"account": "acme", "name": "\xed\xa0\x80"}', b"account=acme&name=Acme", b" "),
    ],
    ids=["5000 digits", "NaN", "nested", "an array", "Latin-1", "a surrogate", "a form", "blank"],
)
def test_body_that_is_not_a_json_object_is_malformed(body: bytes) -> None:
    answer = invoke("admin.accounts", asked(body))
    assert (answer.status, answer.json()["errors"]) == (
        422,
        [{"at": "body", "problem": "malformed", "message": "must be a JSON object in UTF-8"}],
    )
    assert stored(Table.DIRECTORY) == []


@pytest.mark.parametrize(
    "kind",
    [
        *(None, "", "text/plain", "application/octet-stream", "APPLICATION/JSON", "Application/JSON; charset=utf-8"),
        *("application/vnd.api+json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"),
    ],
)
def test_body_is_parsed_as_json_regardless_of_content_type(kind: str | None) -> None:
    request = asked(b'{"account": "acme", "name": "Acme"}', {} if kind is None else {"content-type": kind})
    assert invoke("admin.accounts", request).status == 200


def asked(body: bytes, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """Return an event that creates an account with this raw body."""
    request = event("POST", "/admin/v1/accounts", headers=headers, body=body)
    request["requestContext"]["authorizer"] = {"iam": {"userArn": OPERATOR}}
    return request


def test_spread_of_an_account_can_only_grow() -> None:
    made = admin("accounts", "POST", "accounts", {"account": "acme", "name": "Acme"}).json()

    def spread(parts: int) -> Response:
        return admin("accounts", "POST", "accounts/acme/spread", {"parts": parts})

    for parts in (2, 2, 16):
        assert (spread(parts).status, spread(parts).json()) == (200, made | {"parts": parts})
    before = everything()
    answer = spread(15)
    assert (answer.status, answer.json()["reason"], answer.json()["detail"]) == (
        409,
        "status_not_valid",
        "The device list of the account already has more parts. Their number can only grow.",
    )
    assert everything() == before


def test_live_later_and_rotated_keys_repeat_the_number_of_parts() -> None:
    accounts.create("acme", name="Acme")

    def issue(kind: Kind = Kind.RUFUS) -> str:
        return api_keys.id_of(api_keys.issue("acme", kind, Grant.READ_WRITE, alias="a"))

    live, rotated, revoked = issue(), issue(Kind.REMOTEIT), issue()
    first = api_keys.id_of(api_keys.rotate(rotated, 60))
    api_keys.revoke(revoked)
    accounts.spread("acme", 4)
    second, later = api_keys.id_of(api_keys.rotate(live, 60)), issue()
    found = {item["pk"].removeprefix("key#"): item.get("parts") for item in stored(Table.DIRECTORY) if "kind" in item}
    assert found == dict.fromkeys((live, rotated, first, second, later), 4) | {revoked: None}
    assert broken(everything()) == []


@pytest.mark.parametrize("name", ["...", ".a", "..a", "a..", "a.b", "...."])
def test_other_identifiers_with_dots_are_accepted(name: str) -> None:
    assert admin("accounts", "POST", "accounts", {"account": name, "name": "Acme"}).status == 200
    assert admin("accounts", "GET", f"accounts/{name}").json()["account"] == name


def answer_of(resource: Resource, path: str) -> Any:
    request = event("GET", path)
    request["requestContext"]["authorizer"] = {"iam": {"userArn": OPERATOR}}
    return resource(request, None)


def test_parallel_requests_keep_their_own_events() -> None:
    one, other = Resource("one"), Resource("other")
    parallel = Thread(target=answer_of, args=(other, "/admin/v1/other"))

    @one.app.get("/admin/v1/one")
    def look() -> str:
        parallel.start()
        parallel.join(0.3)
        return str(one.app.current_event.path)

    assert answer_of(one, "/admin/v1/one")["body"] == "/admin/v1/one"
    parallel.join()


@pytest.mark.parametrize("end", ["\n", "\r", "\t", "\u2028", "\u200b", "\x00"])
def test_path_with_unprintable_character_runs_nothing(end: str) -> None:
    resource, ran = Resource("one"), []
    for path in ("/admin/v1/one", "/admin/v1/one/<name>/enable"):
        resource.app.get(path)(lambda name="": ran.append(name))
    for path in ("/admin/v1/one", "/admin/v1/one/a/enable"):
        assert answer_of(resource, path)["statusCode"] == 200
        assert answer_of(resource, path + end)["statusCode"] == 404
    assert ran == ["", "a"]


def test_throttled_key_range_is_a_warning_and_not_an_error(caplog: pytest.LogCaptureFixture) -> None:
    resource = Resource("one")

    @resource.app.get("/admin/v1/one")
    def fail() -> None:
        raise HotKey(Reason.UNAVAILABLE, "TableWriteKeyRangeThroughputExceeded")

    assert answer_of(resource, "/admin/v1/one")["statusCode"] == 503
    warning, line = caplog.records
    assert (warning.levelname, warning.throttled) == ("WARNING", "TableWriteKeyRangeThroughputExceeded")
    assert line.levelname == "INFO"
