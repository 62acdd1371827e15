"""Web pages on the origins of AllowedOrigins can call the APIs."""

from collections.abc import Iterator

import httpx
import pytest

from tests.server.servers import Server

PAGE = "https://app.example.com"
PREFLIGHT = {"origin": PAGE, "access-control-request-method": "POST", "access-control-request-headers": "api_key"}


@pytest.fixture(scope="module")
def origins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("cors") / "state", "--origins", f"https://other.example.com,{PAGE}")
    yield running
    assert running.stop() == 0, running.output


def cors(response: httpx.Response) -> dict[str, str]:
    start = "access-control-"
    return {name.removeprefix(start): value for name, value in response.headers.items() if name.startswith(start)}


def test_preflight_needs_no_credentials_and_other_responses_get_cors_headers(origins: Server):
    preflight = httpx.options(f"{origins.url}/v0/devices", headers=PREFLIGHT)
    assert (preflight.status_code, preflight.content) == (204, b"")
    assert cors(preflight) == {
        "allow-origin": PAGE,
        "allow-methods": "DELETE,GET,POST,PUT",
        "allow-headers": "api_key,apikey,authorization,content-type,developerkey,token,x-api-key",
        "expose-headers": "allow,location,retry-after,x-request-id",
        "max-age": "3600",
    }
    refused = httpx.get(f"{origins.url}/v0/devices", headers={"origin": PAGE})
    assert (refused.status_code, set(cors(refused))) == (403, {"allow-origin", "expose-headers"})
    assert cors(httpx.get(f"{origins.url}/v0/devices")) == {}


def test_without_allowed_origins_there_are_no_cors_headers(client: httpx.Client):
    own = {"origin": str(client.base_url)}
    preflight = client.options("/v0/devices", headers=PREFLIGHT | own)
    assert (preflight.status_code, cors(preflight)) == (204, {})
    assert cors(client.get("/v0/devices", headers=own)) == {}
    assert client.options("/v0/devices", headers=PREFLIGHT).status_code == 403
