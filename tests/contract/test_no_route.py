import io
import json
import re
from typing import Any
from unittest.mock import Mock

import pytest

from bindery.aws import functions
from bindery.aws.errors import ConnectionFailed, ServiceError
from bindery.core import clock
from bindery.core.errors import Reason
from bindery.directory import api_keys, rates
from bindery.http import fallback, operation
from bindery.rufus import dialect as rufus
from tests.http_api import SOURCE_IP, Response, event, invoke
from tests.rufus import KEY, install
from tools import template

VOICES = {
    "rufus": {404: '{"description":"Not found"}', 405: '{"description":"Method not allowed"}'},
    "quectel": {
        404: '{"code":404,"data":null,"extMsg":"","msg":"Not found"}',
        405: '{"code":405,"data":null,"extMsg":"","msg":"Method not allowed"}',
    },
    "asseco": {
        404: '{"problem":"not-found","message":"The resource does not exist"}',
        405: '{"problem":"method-not-allowed","message":"The resource does not have this method"}',
    },
    "remoteit": {
        404: '{"status":"false","reason":"not found","code":"GENERAL_ERROR"}',
        405: '{"status":"false","reason":"method not allowed","code":"GENERAL_ERROR"}',
    },
    "vodlix": {
        404: f'{{"status":404,"timestamp":0,"time":0,"ip":"{SOURCE_IP}","message":"Not found","error_code":"not_found"'
        ',"data":[]}',
        405: f'{{"status":405,"timestamp":0,"time":0,"ip":"{SOURCE_IP}","message":"Method not allowed"'
        ',"error_code":"method_not_allowed","data":[]}',
    },
}
pytestmark = pytest.mark.usefixtures("environment")

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def refused(method: str, path: str) -> Response:
    return invoke("default.no_route", event(method, path, route="$default"))


def status(dialect: str, usual: int) -> int:
    """Return the HTTP status of an API's response. Clients of quectel raise on any but 200 before they read `code`."""
    return 200 if dialect == "quectel" else usual


def timeless(body: str) -> str:
    """Return a body without its time (vodlix)."""
    return re.sub(r'("timestamp"|"time"):[\d.]+', r"\1:0", body)


@pytest.mark.parametrize("rest", ["", "nothing", "nothing/", "devices//un//known", "é%"])
@pytest.mark.parametrize("prefix", fallback.DIALECTS)
def test_unknown_path_is_404_in_the_format_of_its_api(prefix: str, rest: str):
    answer = refused("GET", prefix + rest)
    dialect = fallback.DIALECTS[prefix]
    assert (answer.status, timeless(answer.body)) == (status(dialect, 404), VOICES[dialect][404])
    assert "Allow" not in answer.headers
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["x-request-id"] == "request-1"


@pytest.mark.parametrize("path", fallback.ROUTES)
def test_unsupported_method_is_405_with_allowed_methods(path: str):
    methods = list(fallback.ROUTES[path])
    (dialect,) = (dialect for prefix, dialect in fallback.DIALECTS.items() if path.startswith(prefix))
    plain = re.sub(r"\{.+?\}", "990000862471854", path)
    for method in set(METHODS) - set(methods):
        for variant in (plain, f"/{plain}/"):
            answer = refused(method, variant)
            assert (answer.status, timeless(answer.body)) == (status(dialect, 405), VOICES[dialect][405])
            assert answer.headers["Allow"] == ", ".join(methods)


ROUTED = [(method, path, name) for path, found in fallback.ROUTES.items() for method, name in found.items()]


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(("method", "path", "name"), ROUTED)
def test_extra_slashes_in_a_path_change_nothing(method: str, path: str, name: str):
    """Each variant gets the response of the path itself."""
    names = re.findall(r"\{(.+?)\}", path)
    given = {"headers": {"content-type": "text/plain"}, "body": "{"}
    plain = re.sub(r"\{.+?\}", "990000862471854", path)
    routed = event(
        method, plain, path_parameters=dict.fromkeys(names, "990000862471854"), route=f"{method} {path}", **given
    )
    expected = invoke(name, routed)
    head, _, tail = plain[1:].partition("/")
    for variant in (f"/{plain}", f"{plain}/", f"/{head}//{tail}", f"{plain.replace('/', '//')}//"):
        answer = invoke("default.no_route", event(method, variant, route="$default", **given))
        assert (answer.status, timeless(answer.body)) == (expected.status, timeless(expected.body))


@pytest.mark.usefixtures("registry")
def test_operation_gets_the_event_of_its_route(monkeypatch: pytest.MonkeyPatch):
    class Lambda:
        def call(self, operation: str, **request: Any) -> dict[str, Any]:
            events.append(
                (operation, request.pop("FunctionName"), request.pop("Qualifier"), json.loads(request["Payload"]))
            )
            return {"Payload": io.BytesIO(b'{"statusCode": 200, "headers": {}, "body": "{}"}')}

    events: list[Any] = []
    monkeypatch.setattr(functions, "client", Lambda)
    given: dict[str, Any] = {"headers": {"authorization": "bearer x"}, "query": "a=%2F&a=b", "body": b"\xff"}
    template.function("default.no_route").load()(
        event("GET", "//v1/device/devices/a%2F//", route="$default", **given), None
    )
    path = "/v1/device/devices/a%2F"
    expected = event("GET", path, route="GET /v1/device/devices/{imei}", path_parameters={"imei": "a%2F"}, **given)
    assert events == [("Invoke", "bindery-local-asseco-get_device", "live", expected)]


def listed(path: str, key: str) -> Response:
    return invoke("default.no_route", event("GET", path, headers={"api_key": key}, route="$default"))


@pytest.fixture
def frozen_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)


@pytest.mark.usefixtures("registry", "frozen_clock")
def test_limit_includes_requests_on_paths_with_extra_slashes():
    install()
    rates.limit(api_keys.presented(KEY), 1, 2)
    assert [listed(path, KEY).status for path in ("//v0/devices", "/v0/devices/", "/v0//devices")] == [200, 200, 429]


@pytest.mark.usefixtures("registry", "frozen_clock")
def test_guesses_on_paths_with_extra_slashes_are_throttled():
    answers = [listed(f"{'/' * number}/v0/devices/", f"ror-{number:020}") for number in range(21)]
    assert {answer.status for answer in answers} == {403}
    assert ["Retry-After" in answer.headers for answer in answers] == [False] * 20 + [True]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (ServiceError("TooManyRequestsException", 429, {}), 503),
        (ServiceError("ServiceException", 500, {}), 503),
        (ConnectionFailed("TimeoutError", timed_out=True), 503),
        (ServiceError("AccessDeniedException", 403, {}), 500),
        ({"Payload": io.BytesIO(b'{"errorMessage": "secret"}'), "FunctionError": "Unhandled"}, 500),
        ({"Payload": io.BytesIO(b"")}, 500),
    ],
    ids=range(6),
)
def test_failed_invocation_is_an_internal_error(answer: Any, status: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(functions, "client", lambda: Mock(call=Mock(side_effect=[answer])))
    failed = refused("GET", "/v0/devices/")
    assert failed.status == status
    assert failed.json() == {
        "description": rufus.REFUSALS[Reason.UNAVAILABLE if status == 503 else Reason.INTERNAL].text
    }


@pytest.mark.parametrize(
    "path",
    ["/", "/favicon.ico", "/v0", "/v1/devices", "/v2/binding", "/apv/v28/device", "/apis/", "//admin/v1/accounts/"],
)
def test_path_outside_every_api_gets_the_gateways_404(path: str):
    answer = refused("POST", path)
    assert (answer.status, answer.body) == (404, '{"message":"Not Found"}')
    assert "Allow" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "api", "unmatched"),
    [
        ("PUT", "/v2/enduser/enduserapi/changePassword", "quectel", "PUT /v2/enduser/enduserapi/changePassword"),
        ("GET", "/apv/v27/user/rename/ada@example.com", "remoteit", "GET /apv/v27/user/rename/{}"),
        ("PATCH", "/v0/devices/0F3A1B", "rufus", "PATCH /v0/devices/{}"),
        ("POST", "/v1/device/owned-devices/b7c1-2e/un_block", "asseco", "POST /v1/device/owned-devices/{}/un_block"),
        ("SECRET", "/api/v3.1/" + "x" * 33, "vodlix", "{} /api/v3.1/{}"),
        ("GET", "/" + "a/" * 20, None, "GET /a/a/a/a/a/a/a/a/..."),
    ],
)
def test_log_shows_api_and_path_pattern(
    method: str, path: str, api: str | None, unmatched: str, monkeypatch: pytest.MonkeyPatch
):
    log = io.StringIO()
    monkeypatch.setattr(operation.logger.registered_handler, "stream", log)
    refused(method, path)
    line = json.loads(log.getvalue())
    assert (line.get("api"), line["unmatched"]) == (api, unmatched)
