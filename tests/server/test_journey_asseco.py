"""The asseco API as a bank's app uses it: the lifecycle of a phone, issued devices and classifications."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from bindery.registry import identity
from tests.server.servers import Server
from tests.server.test_admin import signed
from tools.local.signatures import Operator

IMEI = "356938035643809"
TABLET = "app:5f0c-tablet"
ADDRESS = "80:00:00:00:00:05:A5:E0"
OWNED = "/v1/device/owned-devices"
ISSUED = "/v1/device/issued-devices"


class App:
    """The bank's app on a customer's phone."""

    def __init__(self, client: httpx.Client, server: Server, suffix: str = "") -> None:
        self.client = client
        demo = server.environment
        self.headers = {"Authorization": f"bearer {demo[f'ASSECO_TOKEN{suffix}']}"}
        self.remoteit = {
            "developerkey": demo[f"REMOTEIT_DEVELOPER_KEY{suffix}"],
            "token": demo[f"REMOTEIT_TOKEN{suffix}"],
        }

    def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self.client.request(method, path, headers=self.headers, json=body)

    def register(self, identifier: str, nickname: str, **more: str) -> httpx.Response:
        given = {"external-device-identifier": identifier, "operating-system": "iOS 9.x", "nickname": nickname}
        return self.ask("POST", OWNED, given | more)

    def done(self, method: str, path: str, body: Any = None) -> None:
        answer = self.ask(method, path, body)
        assert (answer.status_code, answer.content) == (204, b"")
        assert "content-type" not in answer.headers

    def refused(self, status: int, problem: str, method: str, path: str, body: Any = None) -> None:
        answer = self.ask(method, path, body)
        assert (answer.status_code, answer.json()["problem"]) == (status, problem)

    def devices(self, query: str = "") -> list[str]:
        listed = self.ask("GET", f"{OWNED}?page-size=100{query}").json()["devices"]
        return [device["imei"] for device in listed if device["imei"] in (IMEI, TABLET)]

    def connect(self) -> int:
        answer = self.client.post(
            "/apv/v27/device/connect", headers=self.remoteit, json={"wait": "true", "deviceaddress": ADDRESS}
        )
        return answer.status_code


@pytest.fixture
def ada(client: httpx.Client, server: Server) -> App:
    return App(client, server)


@pytest.fixture
def cleo(client: httpx.Client, server: Server) -> App:
    return App(client, server, "_OTHER")


def operator(server: Server, method: str, path: str, body: bytes = b"") -> Any:
    demo = server.environment
    by = Operator(demo["BINDERY_ACCESS_KEY_ID"], demo["BINDERY_SECRET_ACCESS_KEY"])
    url = f"{server.url}/admin/v1/{path}"
    headers = signed(method, url, body=body, headers={"Content-Type": "application/json"}, by=by)
    answer = httpx.request(method, url, headers=headers, content=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_owned_device_lifecycle(server: Server, ada: App, cleo: App) -> None:
    phone = f"{OWNED}/{IMEI}"

    # Ada registers a phone by its IMEI and a tablet by its app id.
    answer = ada.register(IMEI, "My Journey", **{"brand-name": "Apple IPhone", "model-name": "IP-6S"})
    assert (answer.status_code, answer.json()) == (200, {"id": IMEI, "CreatedRecordStatus": "active"})
    assert answer.headers["location"] == phone
    assert ada.register(TABLET, "my journey").json()["problem"] == "nickname-not-unique"
    answer = ada.register(TABLET, "Tablet", **{"external-device-id-kind": "app-id"})
    tablet = answer.headers["location"]
    assert ada.ask("GET", tablet).json()["imei"] == TABLET
    assert cleo.register(IMEI, "Mine").json()["problem"] == "imei-not-unique"
    assert ada.devices() == [IMEI, TABLET]
    assert cleo.devices() == []

    # Ada renames the phone; the former nickname becomes available.
    ada.refused(440, "nickname-not-unique", "PUT", f"{phone}/nickname", {"nickname": "TABLET"})
    ada.refused(440, "nickname-not-set", "PUT", f"{phone}/nickname", {})
    ada.refused(404, "device-not-exist", "PUT", f"{OWNED}/unknown/nickname", {"nickname": "x"})
    cleo.refused(404, "device-not-exist", "PUT", f"{phone}/nickname", {"nickname": "x"})
    ada.done("PUT", f"{phone}/nickname", {"nickname": "Phone of Ada"})
    ada.done("PUT", f"{tablet}/nickname", {"nickname": "My Journey"})
    assert ada.ask("GET", f"/v1/device/devices/{IMEI}").json()["nickname"] == "Phone of Ada"

    # The app registers for push notifications.
    handle = {"push-platform": "apns", "pns-handle": "740f4707bebcf74f"}
    answer = ada.ask("PUT", f"{phone}/push-notification-handle", {"push-platform": "pigeon"})
    assert (answer.status_code, [error["tag"] for error in answer.json()["errors"]]) == (
        400,
        ["push-platform", "pns-handle"],
    )
    ada.done("PUT", f"{phone}/push-notification-handle", handle)
    ada.refused(440, "valid-push-registration-exist", "PUT", f"{phone}/push-notification-handle", handle)
    shown = ada.ask("GET", phone).json()
    expires = datetime.fromisoformat(shown["push-expiration-date"].replace("Z", "+00:00"))
    assert expires - datetime.now(UTC) > timedelta(days=89)
    ada.done("PUT", f"{phone}/push-notification-handle", handle | {"pns-handle": "another"})
    assert ada.ask("GET", phone).json()["push-id"] != shown["push-id"]

    # An operator assigns a service address to the phone, and Ada connects to it.
    device = identity.opaque(identity.customer_device(IMEI))
    operator(server, "PUT", f"devices/{device}/address", b'{"address":"%s"}' % ADDRESS.encode())
    assert (ada.connect(), cleo.connect()) == (200, 403)
    assert [lease["caller"] for lease in operator(server, "GET", f"connections?device={device}")["items"]] == ["ada"]

    # Blocking the phone ends its connections and prevents new ones until Ada unblocks it.
    ada.done("POST", f"{phone}/block")
    assert ada.ask("GET", phone).json()["status"] == "blocked"
    assert ada.devices("&device-statuses=blocked") == [IMEI]
    assert operator(server, "GET", f"connections?device={device}")["items"] == []
    assert ada.connect() == 403
    ada.refused(440, "device-status-not-valid", "POST", f"{phone}/block")
    ada.refused(440, "device-status-not-valid", "PUT", f"{phone}/push-notification-handle", handle)
    ada.done("POST", f"{phone}/unblock")
    ada.refused(440, "device-status-not-valid", "POST", f"{phone}/unblock")
    assert operator(server, "GET", f"connections?device={device}")["items"] == []
    assert ada.connect() == 200

    # Ada unregisters the phone. She can still see it until another customer registers it.
    answer = ada.ask("POST", f"/v1/device/devices/{IMEI}/unregister")
    assert (answer.status_code, answer.json()) == (202, {"id": IMEI, "CreatedRecordStatus": "unregistered"})
    assert ada.connect() == 403
    for method, action, body in (
        ("PUT", "nickname", {"nickname": "x"}),
        ("PUT", "push-notification-handle", handle),
        ("POST", "block", None),
        ("POST", "unblock", None),
        ("POST", "unregister", None),
    ):
        ada.refused(440, "device-status-not-valid", method, f"{phone}/{action}", body)
    assert ada.ask("GET", phone).json()["status"] == "unregistered"
    assert cleo.register(IMEI, "Phone of Ada").status_code == 200
    ada.refused(404, "device-not-exist", "GET", phone)
    ada.refused(404, "device-not-exist", "POST", f"{phone}/block")
    assert (ada.devices(), cleo.devices()) == ([TABLET], [IMEI])
    assert cleo.ask("GET", phone).json()["push-id"] is None
    assert (ada.connect(), cleo.connect()) == (403, 200)


def test_issued_devices_and_classifications(ada: App, cleo: App) -> None:
    card, token = ada.ask("GET", ISSUED).json()["devices"]
    ada.done("PUT", f"{ISSUED}/{card['device-id']}/nickname", {"nickname": "Holiday card"})
    assert ada.ask("GET", f"{ISSUED}/CARD-0001").json() == card | {"nickname": "Holiday card"}
    cleo.refused(404, "device-not-exist", "PUT", f"{ISSUED}/CARD-0001/nickname", {"nickname": "x"})
    answer = ada.ask("PUT", f"{ISSUED}/CARD-0001/nickname", {"nickname": "5168 1234 5678 1234"})
    assert (answer.status_code, answer.json()["errors"][0]["tag"]) == (400, "nickname")

    schemas = [found["schema-id"] for found in ada.ask("GET", "/v1/device/classifications").json()["items"]]
    words = {
        schema: [value["literal"] for value in ada.ask("GET", f"/v1/device/classifications/{schema}").json()["values"]]
        for schema in schemas
    }
    assert {card["kind"], token["kind"]} <= set(words["device-kinds"])
    assert {*card["capabilities"], *token["capabilities"]} <= set(words["device-capabilities"])
    assert card["card-status"] in words["card-statuses"]
    ada.refused(404, "classification-not-exist", "GET", "/v1/device/classifications/colours")

    # Unknown resource, method not allowed, and requests without a token.
    ada.refused(404, "not-found", "GET", f"{ISSUED}/CARD-0001/pin")
    answer = ada.ask("GET", f"{OWNED}/{IMEI}/nickname")
    assert (answer.status_code, answer.headers["allow"]) == (405, "PUT")
    ada.headers = {}
    for method, path in (("GET", "/v1/device/classifications"), ("POST", f"{OWNED}/{IMEI}/block")):
        ada.refused(401, "unauthorized", method, path)
