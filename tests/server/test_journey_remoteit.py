"""The remoteit API as a user's client uses it, with an operator who manages the devices."""

from collections.abc import Iterator

import httpx
import pytest
from botocore.credentials import Credentials

from tests.server.servers import Server
from tools.cli.client import Client
from tools.local.engine import REGION

LAMP = {"model": "Journey lamp", "serial_number": "REMOTE-1"}
LAMP_ADDRESS = "80:00:00:00:00:00:0A:01"
LOCK = "REMOTE-LOCK"
LOCK_ADDRESS = "80:00:00:00:00:00:0A:02"


class User:
    """A client of the API with a developer key and a user."""

    def __init__(self, server: Server, suffix: str = "") -> None:
        demo = server.environment
        self.http = httpx.Client(
            base_url=f"{server.url}/apv/v27",
            timeout=30,
            headers={"developerkey": demo[f"REMOTEIT_DEVELOPER_KEY{suffix}"]},
        )
        self.name = {name: demo[f"REMOTEIT_{name.upper()}{suffix}"] for name in ("username", "password")}

    def log_in(self) -> None:
        answer = self.http.post("/user/login", json=self.name)
        assert (answer.status_code, answer.json()["status"]) == (200, "true"), answer.text
        self.http.headers["token"] = answer.json()["token"]

    def listed(self) -> dict[str, dict[str, str]]:
        answer = self.http.get("/device/list/all")
        found = answer.json()
        assert (answer.status_code, found["status"], found["length"]) == (200, "true", len(found["devices"]))
        return {device["deviceaddress"]: device for device in found["devices"]}

    def connect(self, address: str) -> httpx.Response:
        return self.http.post("/device/connect", json={"deviceaddress": address, "wait": "true"})

    def connected(self, address: str) -> str:
        answer = self.connect(address)
        assert (answer.status_code, answer.json()["status"]) == (200, "true"), answer.text
        connection: str = answer.json()["connectionid"]
        return connection

    def stop(self, address: str, connection: str) -> httpx.Response:
        return self.http.post("/device/connect/stop", json={"deviceaddress": address, "connectionid": connection})


class Operators:
    """Operators of the installation, who use the admin API."""

    def __init__(self, server: Server) -> None:
        demo = server.environment
        key = Credentials(demo["BINDERY_ACCESS_KEY_ID"], demo["BINDERY_SECRET_ACCESS_KEY"])
        self.api = Client(server.url, key, REGION)

    def device(self, serial: str) -> str:
        """Return the id of the only device with a serial number."""
        (found,) = self.api.get("devices", serial=serial)["items"]
        device: str = found["device"]
        return device

    def assign(self, device: str, address: str) -> None:
        self.api.ask("PUT", "devices", device, "address", body={"address": address})

    def unbind(self, device: str) -> None:
        assert self.api.post("devices", device, "unbind", reason="the journey")["binding"] is None

    def live(self, device: str) -> list[str]:
        """Return the live connections to a device."""
        return [lease["id"] for lease in self.api.get("connections", device=device)["items"]]


class Company:
    """ada's account, which binds and unbinds devices."""

    def __init__(self, server: Server) -> None:
        self.url, self.demo = f"{server.url}/v0/devices", server.environment

    def bind(self) -> str:
        headers = {"api_key": self.demo["RUFUS_API_KEY"]}
        answer = httpx.post(self.url, headers=headers, json=LAMP | {"alias": "Lamp in the hall"})
        assert answer.status_code == 201, answer.text
        deviceid: str = answer.json()["deviceid"]
        return deviceid

    def unbind(self, deviceid: str) -> None:
        answer = httpx.delete(f"{self.url}/{deviceid}", headers={"api_key": self.demo["RUFUS_UNBIND_KEY"]})
        assert answer.status_code < 300, answer.text


@pytest.fixture
def ada(server: Server) -> Iterator[User]:
    user = User(server)
    with user.http:
        user.log_in()
        yield user


@pytest.fixture
def cleo(server: Server) -> Iterator[User]:
    """A user of another account."""
    user = User(server, "_OTHER")
    with user.http:
        user.log_in()
        yield user


@pytest.fixture
def operators(server: Server) -> Iterator[Operators]:
    made = Operators(server)
    yield made
    made.api.close()


def test_device_is_listed_connected_unbound_and_bound_again(
    server: Server, ada: User, cleo: User, operators: Operators
) -> None:
    company = Company(server)
    assert LAMP_ADDRESS not in ada.listed()
    deviceid = company.bind()
    assert LAMP_ADDRESS not in ada.listed()
    device = operators.device(LAMP["serial_number"])
    operators.assign(device, LAMP_ADDRESS)

    shown = ada.listed()[LAMP_ADDRESS]
    assert (shown["devicealias"], shown["devicestate"], shown["shared"], shown["ownerusername"]) == (
        "Lamp in the hall",
        "active",
        "not-shared",
        "ada@example.com",
    )
    first = ada.connected(shown["deviceaddress"])
    assert operators.live(device) == [first]
    second = ada.connected(LAMP_ADDRESS)
    assert operators.live(device) == [second]
    assert ada.stop(LAMP_ADDRESS, first).status_code == 401
    stopped = ada.stop(LAMP_ADDRESS, second)
    assert (stopped.status_code, stopped.json()) == (200, {"status": "true", "connectionid": second})
    assert operators.live(device) == []
    assert ada.stop(LAMP_ADDRESS, second).status_code == 401

    # A user of another account cannot see the device or find out that it exists.
    third = ada.connected(LAMP_ADDRESS)
    assert LAMP_ADDRESS not in cleo.listed()
    nothing = "80:00:00:00:00:00:0A:FF"
    refused, nowhere = cleo.connect(LAMP_ADDRESS), cleo.connect(nothing)
    assert refused.status_code == nowhere.status_code == 403
    assert refused.text.replace(LAMP_ADDRESS, nothing) == nowhere.text
    assert cleo.stop(LAMP_ADDRESS, third).text == cleo.stop(nothing, third).text
    assert operators.live(device) == [third]

    # The company unbinds the device; then an operator does.
    for end in (lambda: company.unbind(deviceid), lambda: operators.unbind(device)):
        old = ada.connected(LAMP_ADDRESS)
        end()
        assert LAMP_ADDRESS not in ada.listed()
        refused = ada.connect(LAMP_ADDRESS)
        assert (refused.status_code, refused.text.replace(LAMP_ADDRESS, nothing)) == (403, nowhere.text)
        assert operators.live(device) == []
        # After the device is bound again, users can connect to it; the old connection stays ended.
        assert company.bind() == deviceid
        assert LAMP_ADDRESS in ada.listed()
        assert operators.live(device) == []
        assert ada.stop(LAMP_ADDRESS, old).status_code == 401
        new = ada.connected(LAMP_ADDRESS)
        assert operators.live(device) == [new]
    company.unbind(deviceid)


def test_user_connects_to_a_device_bound_by_serial_number(
    server: Server, ada: User, cleo: User, operators: Operators
) -> None:
    demo = server.environment
    made = {"product_key": demo["QUECTEL_PK"], "serial": LOCK, "device_key": "ABCD1234"}
    assert operators.api.post("devices", "import", rows=[made])["created"] == 1
    device = operators.device(LOCK)
    operators.assign(device, LOCK_ADDRESS)
    assert LOCK_ADDRESS not in ada.listed()
    assert ada.connect(LOCK_ADDRESS).status_code == 403

    bound = httpx.post(
        f"{server.url}/v2/binding/enduserapi/bindDeviceSn",
        params={"pk": demo["QUECTEL_PK"], "sn": LOCK},
        headers={"Authorization": demo["QUECTEL_TOKEN"]},
    )
    assert bound.json()["code"] == 200, bound.text

    shown = ada.listed()[LOCK_ADDRESS]
    assert (shown["devicealias"], shown["ownerusername"], shown["shared"]) == (
        "Demo product",
        "ada@example.com",
        "not-shared",
    )
    assert operators.live(device) == []
    connection = ada.connected(LOCK_ADDRESS)
    assert operators.live(device) == [connection]
    assert LOCK_ADDRESS not in cleo.listed()
    assert cleo.connect(LOCK_ADDRESS).status_code == 403
    assert ada.stop(LOCK_ADDRESS, connection).status_code == 200
    assert operators.live(device) == []
