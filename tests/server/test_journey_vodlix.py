"""The vodlix API as an app uses it: settings, adding, checking and activity, with bans by an operator."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.server.servers import Server
from tests.server.test_admin import send, signed
from tools.local.signatures import Operator

PLAYER = {
    "mac_address": "0C:0F:FE:E0:00:01",
    "device_os": "Android",
    "device_version": "12",
    "device_type": "TV",
    "app_version": "3.1",
    "app_name": "Journey",
}
MAC = {"mac_address": PLAYER["mac_address"]}
HOME = MAC | {"current_screen": "home"}
CONTENT = MAC | {"current_screen": "content_info", "content_id": "1024", "content_type": "movie"}


class Administration:
    """An operator, who signs requests."""

    def __init__(self, server: Server) -> None:
        demo = server.environment
        self.url = f"{server.url}/admin/v1/"
        self.by = Operator(demo["BINDERY_ACCESS_KEY_ID"], demo["BINDERY_SECRET_ACCESS_KEY"])

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        content = b"" if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        status, answer = send(
            self.url + path,
            method,
            signed(method, self.url + path, body=content, headers=headers, by=self.by),
            content,
        )
        assert status == 200, answer
        return answer

    def player(self) -> dict[str, Any]:
        (found,) = self.ask("GET", f"devices?mac={PLAYER['mac_address'].replace(':', '')}")["items"]
        return dict(found)

    def manage(self, value: int) -> None:
        self.ask("PUT", "settings/device_management", {"value": value})


@pytest.fixture
def operator(server: Server) -> Iterator[Administration]:
    administration = Administration(server)
    yield administration
    administration.manage(1)


def told(client: httpx.Client, path: str, body: dict[str, str]) -> str:
    """Send a request, and return `ok` or the error code."""
    answer = client.post(f"/api/v2/{path}", json=body).json()
    assert list(answer)[:5] == ["status", "timestamp", "time", "ip", "message"]
    if answer["status"] == 200:
        assert answer["data"] == MAC | {"status": 1, "ban_status": 0}
        return "ok"
    assert (answer["status"], answer["data"]) == (400, [])
    return str(answer["error_code"])


def managed(client: httpx.Client) -> Any:
    return client.get("/api/base/configs").json()["configs"]["device_management"]


def test_device_is_added_checked_banned_and_unbanned(client: httpx.Client, operator: Administration) -> None:
    assert managed(client) == 1
    assert told(client, "device_check", MAC) == told(client, "device_activity", HOME) == "device_not_found"
    assert told(client, "device", PLAYER) == "ok"
    assert told(client, "device_check", MAC) == "ok"

    assert told(client, "device_activity", HOME) == "ok"
    incomplete = MAC | {"current_screen": "content_info", "content_id": "1024"}
    assert told(client, "device_activity", incomplete) == "missing_parameter"
    form = client.post("/api/v2/device_activity", data=CONTENT)
    assert (form.status_code, form.json()["message"]) == (200, "Success")
    facts = operator.player()["facts"]
    assert [facts[name] for name in ("current_screen", "content_id", "content_type")] == list(CONTENT.values())[1:]

    device = operator.player()["device"]
    operator.ask("POST", f"devices/{device}/ban", {"reason": "resold"})
    for path, body in (("device_check", MAC), ("device", PLAYER | {"app_version": "9"}), ("device_activity", HOME)):
        assert told(client, path, body) == "device_banned"
    assert operator.player()["facts"] == facts

    operator.ask("POST", f"devices/{device}/unban")
    assert told(client, "device", PLAYER | {"app_version": "3.2"}) == told(client, "device_check", MAC) == "ok"
    assert operator.player()["facts"]["app_version"] == "3.2"


def test_devices_are_not_added_while_management_is_disabled(client: httpx.Client, operator: Administration) -> None:
    assert told(client, "device", PLAYER) == "ok"
    before = operator.player()
    operator.manage(0)
    assert managed(client) == 0
    # Apps show no message for this error: they only handle the code of a ban.
    assert told(client, "device", PLAYER | {"app_version": "9"}) == "device_management_disabled"
    assert told(client, "device", PLAYER | {"mac_address": "0C:0F:FE:E0:00:02"}) == "device_management_disabled"
    assert operator.player() == before
    assert told(client, "device_check", MAC) == "ok"
    operator.manage(1)
    assert (managed(client), told(client, "device", PLAYER)) == (1, "ok")
