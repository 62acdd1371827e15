"""Web pages on the origins of AllowedOrigins can call the APIs."""

import httpx
import pytest
from starlette.routing import Router

from tests.server.servers import serving
from tools import template
from tools.local.gateway import Gateway
from tools.local.loopback import Guard

pytestmark = pytest.mark.usefixtures("environment")

PAGE = "https://app.example.com"
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "api_key"}


def cors(origins: str, origin: str | None) -> tuple[list[int], list[dict[str, str]]]:
    """Return the statuses and CORS headers of responses to a preflight and to a request."""
    gateway = Gateway([template.function("default.no_route")], origins=origins)
    with serving(Guard(gateway, Router(), gateway.origins)) as url, httpx.Client(base_url=url) as client:
        page = {"origin": origin or url}
        answers = [client.options("/v0/devices", headers=PREFLIGHT | page), client.get("/v0", headers=page)]
    start = "access-control-"
    headers = [
        {name.removeprefix(start): value for name, value in answer.headers.items() if name.startswith(start)}
        for answer in answers
    ]
    return [answer.status_code for answer in answers], headers


def test_preflight_and_other_responses_get_cors_headers() -> None:
    statuses, (preflight, response) = cors(f"https://other.example.com,{PAGE}", PAGE)
    assert statuses == [204, 404]
    assert preflight == {
        "allow-origin": PAGE,
        "allow-methods": "DELETE,GET,POST,PUT",
        "allow-headers": "api_key,apikey,authorization,content-type,developerkey,token,x-api-key",
        "expose-headers": "allow,location,retry-after,x-request-id",
        "max-age": "3600",
    }
    assert response == {"allow-origin": PAGE, "expose-headers": "allow,location,retry-after,x-request-id"}


@pytest.mark.parametrize(
    ("origins", "origin", "statuses"), [("", None, [204, 404]), ("", PAGE, [403, 403]), (PAGE, None, [204, 404])]
)
def test_other_origins_get_no_cors_headers(origins: str, origin: str | None, statuses: list[int]) -> None:
    assert cors(origins, origin) == (statuses, [{}, {}])
