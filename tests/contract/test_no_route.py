import re

import pytest

from bindery.http import fallback
from tests.http_api import SOURCE_IP, Response, event, invoke

VOICES = {
    "rufus": {404: '{"description":"Not found"}', 405: '{"description":"Method not allowed"}'},
    "quectel": {
        404: '{"code":404,"data":null,"extMsg":"","msg":"Not found"}',
        405: '{"code":405,"data":null,"extMsg":"","msg":"Method not allowed"}',
    },
    "asseco": {
        404: '{"problem":"not-found","message":"There is no such resource","details":null}',
        405: '{"problem":"method-not-allowed","message":"The resource does not have this method","details":null}',
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
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def refused(method: str, path: str) -> Response:
    return invoke("default.no_route", event(method, path, route="$default"))


def timeless(body: str) -> str:
    """Return a body without its time (vodlix)."""
    return re.sub(r'("timestamp"|"time"):[\d.]+', r"\1:0", body)


@pytest.mark.parametrize("rest", ["", "nothing", "devices/", "devices//unregister", "base/configs/", "é%"])
@pytest.mark.parametrize("prefix", fallback.DIALECTS)
def test_unknown_path_is_404_in_the_format_of_its_api(prefix: str, rest: str):
    answer = refused("GET", prefix + rest)
    assert (answer.status, timeless(answer.body)) == (404, VOICES[fallback.DIALECTS[prefix]][404])
    assert "Allow" not in answer.headers
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["x-request-id"] == "request-1"


@pytest.mark.parametrize("path", fallback.ROUTES)
def test_unsupported_method_is_405_with_allowed_methods(path: str):
    methods = fallback.ROUTES[path]
    (dialect,) = (dialect for prefix, dialect in fallback.DIALECTS.items() if path.startswith(prefix))
    for method in set(METHODS) - set(methods):
        answer = refused(method, re.sub(r"\{.+?\}", "990000862471854", path))
        assert (answer.status, timeless(answer.body)) == (405, VOICES[dialect][405])
        assert answer.headers["Allow"] == ", ".join(methods)


@pytest.mark.parametrize(
    "path", ["/", "/favicon.ico", "/v0", "/v1/devices", "/v2/binding", "/apv/v28/device", "/apis/"]
)
def test_path_outside_every_api_gets_the_gateways_404(path: str):
    answer = refused("POST", path)
    assert (answer.status, answer.body) == (404, '{"message":"Not Found"}')
    assert "Allow" not in answer.headers
