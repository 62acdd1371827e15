import io
import json
import re

import pytest

from bindery.http import fallback, operation
from tests.http_api import SOURCE_IP, Response, event, invoke

pytestmark = pytest.mark.usefixtures("environment")

VOICES = {
    "rufus": {404: '{"description":"Not found"}', 405: '{"description":"Method not allowed"}'},
    "quectel": {
        404: '{"code":404,"data":null,"extMsg":"","msg":"Not found"}',
        405: '{"code":405,"data":null,"extMsg":"","msg":"Method not allowed"}',
    },
    "asseco": {
        404: '{"problem":"not-found","message":"There is no such resource"}',
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


@pytest.mark.parametrize("rest", ["", "nothing", "devices/", "devices//unregister", "base/configs/", "é%"])
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
    methods = fallback.ROUTES[path]
    (dialect,) = (dialect for prefix, dialect in fallback.DIALECTS.items() if path.startswith(prefix))
    for method in set(METHODS) - set(methods):
        answer = refused(method, re.sub(r"\{.+?\}", "990000862471854", path))
        assert (answer.status, timeless(answer.body)) == (status(dialect, 405), VOICES[dialect][405])
        assert answer.headers["Allow"] == ", ".join(methods)


@pytest.mark.parametrize(
    "path", ["/", "/favicon.ico", "/v0", "/v1/devices", "/v2/binding", "/apv/v28/device", "/apis/"]
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
