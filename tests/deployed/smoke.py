"""Smoke tests of each API on a deployed stack, with temporary data: `make smoke STACK=…`.

Requests are signed with the AWS credentials of the user, who needs permission to describe the stack and to call its
admin API. These tests are not collected with the others, which need no AWS account; `tests/server/test_smoke.py` runs
them against the local server.
"""

import asyncio
import json
import os
import secrets
import ssl
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import boto3
import httpx
import pytest

from agent.bindery_agent import NORMAL, WebSocket, parse_url
from tools.cli.client import Client, Exit, Failure, connect
from tools.tunnel import round_trip

NAME = "smoke"
"""Name of the account, the domain and the product. All runs use the same ones, so test data does not accumulate."""
SERIAL = "SMOKE-1"
PLAYER = {"mac_address": "02:5A:0C:E0:00:01"}
HOUR = 3600
KEY_HOURS = 3
"""Long enough for `tests.deployed.long` too."""
ECHOES = 20
MEGABYTE = 1_000_000


class Installation:
    """A running installation, an operator, and the data created for one run."""

    def __init__(self, api: Client, made: ExitStack) -> None:
        self.api, self.made = api, made
        self.http = made.enter_context(httpx.Client(base_url=api.endpoint, timeout=60))
        self.uid = f"{NAME}-{secrets.token_hex(6)}"
        self.enter("accounts", account=NAME, name="Smoke test")
        made.callback(api.post, "accounts", NAME, "disable")
        api.post("accounts", NAME, "enable")
        self.enter("domains", domain=NAME, enabled=True, binders="everyone")
        self.enter("products", product_key=NAME, name="Smoke test", module_type="none", mode=2)
        api.post("devices", "import", rows=[{"product_key": NAME, "serial": SERIAL, "device_key": "5A0CE001"}])
        api.post("users", uid=self.uid, account=NAME, domain=NAME)
        made.callback(self.erase)

    def enter(self, resource: str, **members: object) -> None:
        """Create a resource, unless an earlier run has created it."""
        try:
            self.api.post(resource, **members)
        except Failure as failure:
            if failure.code is not Exit.CONFLICT:
                raise

    def erase(self) -> None:
        while not self.api.ask("DELETE", "privacy", self.uid)["complete"]:
            pass

    def key(self, kind: str) -> str:
        """Create a key of the account, which is revoked after the run."""
        expires = int((time.time() + KEY_HOURS * HOUR) * 1000)
        made = self.api.post(
            "keys",
            account=NAME,
            kind=kind,
            grant="READ_WRITE",
            unbind=kind == "rufus",
            alias=self.uid,
            expires_at=expires,
        )
        self.made.callback(self.api.post, "keys", made["id"], "revoke")
        return str(made["key"])

    def token(self, dialect: str) -> str:
        """Create a session token of the user."""
        return str(self.api.post("users", self.uid, "tokens", dialect=dialect, lifetime=HOUR)["token"])

    def bound(self, key: str) -> tuple[str, str]:
        """Bind a device to the account until the run ends, and return its serial number and deviceid."""
        serial = f"{self.uid}-{secrets.token_hex(3)}"
        answer = self.http.post("/v0/devices", headers={"api_key": key}, json={"model": NAME, "serial_number": serial})
        assert answer.status_code == 201, answer.text
        deviceid = str(answer.json()["deviceid"])
        self.made.callback(self.http.delete, f"/v0/devices/{deviceid}", headers={"api_key": key})
        return serial, deviceid


class Device:
    """A device that is connected to the device link."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket

    @classmethod
    async def connect(cls, url: str, credential: str) -> "Device":
        server = parse_url(url)
        socket = await WebSocket.open(server, credential, ssl.create_default_context() if server.tls else None)
        device = cls(socket)
        assert await device.ask({"type": "hello", "v": 1, "services": []}) == "welcome"
        return device

    async def ask(self, message: dict[str, object]) -> object:
        """Send a message, and return the type of the answer."""
        await self.socket.send(json.dumps(message))
        return json.loads(await self.socket.receive())["type"]


def challenge(headers: httpx.Headers) -> str | None:
    """Return the challenge of a 401. API Gateway may rename the header."""
    return headers.get("www-authenticate", headers.get("x-amzn-remapped-www-authenticate"))


@pytest.fixture(scope="module")
def outputs() -> dict[str, str]:
    """Outputs of the stack in BINDERY_STACK. Without it, the values of BINDERY_ENDPOINT and DEVICES_URL."""
    stack, given = os.environ.get("BINDERY_STACK"), os.environ.get("BINDERY_ENDPOINT")
    if not stack:
        if given is None:
            pytest.exit("no stack specified. Use: make smoke STACK=…", returncode=2)
        return {"ApiUrl": given, "DevicesUrl": os.environ["DEVICES_URL"]}
    (found,) = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}


@pytest.fixture(scope="module")
def installation(outputs: dict[str, str]) -> Iterator[Installation]:
    with ExitStack() as made:
        api = connect(outputs["ApiUrl"], None, None)
        made.callback(api.close)
        yield Installation(api, made)


def test_doctor_reports_healthy(installation: Installation) -> None:
    health = installation.api.post("doctor")
    assert health["healthy"], [check for check in health["checks"] if not check["healthy"]]


def test_rufus_binds_shows_and_unbinds(installation: Installation) -> None:
    key = installation.key("rufus")
    serial, deviceid = installation.bound(key)
    path, headers = f"/v0/devices/{deviceid}", {"api_key": key}
    shown = installation.http.get(path, headers=headers)
    assert (shown.status_code, shown.json()["result"]["serial_number"]) == (200, serial)
    assert installation.http.delete(path, headers=headers).is_success
    assert installation.http.get(path, headers=headers).status_code == 404


def test_quectel_binds_lists_and_unbinds(installation: Installation) -> None:
    headers = {"Authorization": installation.token("quectel")}

    def ask(method: str, operation: str, **parameters: str) -> object:
        answer = installation.http.request(
            method, f"/v2/binding/enduserapi/{operation}", headers=headers, params=parameters
        )
        assert (answer.status_code, answer.json()["code"]) == (200, 200), answer.text
        return answer.json()["data"]

    bound = ask("POST", "bindDeviceSn", pk=NAME, sn=SERIAL)
    assert bound["pk"] == NAME
    assert [device["deviceKey"] for device in ask("GET", "userDeviceList")["list"]] == [bound["dk"]]
    assert ask("DELETE", "unbundlingDeviceDk", pk=NAME, dk=bound["dk"]) == {"bindingSum": 0}


def test_asseco_registers_lists_and_unregisters(installation: Installation) -> None:
    # Only the bank's issuer creates customer tokens. Without ASSECO_TOKEN, expect a 401.
    token = os.environ.get("ASSECO_TOKEN", "")
    headers = {"Authorization": f"bearer {token}"} if token else {}
    identifier = f"{installation.uid}-phone"
    device = {"external-device-identifier": identifier, "operating-system": "none", "nickname": identifier}
    made = installation.http.post("/v1/device/owned-devices", headers=headers, json=device)
    if not token:
        assert (made.status_code, challenge(made.headers)) == (401, 'Bearer realm="device"')
        return
    assert made.status_code == 200, made.text
    path = f"/v1/device/owned-devices/{identifier}"
    assert installation.http.get(path, headers=headers).json()["nickname"] == identifier
    ended = installation.http.post(f"{path}/unregister", headers=headers)
    assert ended.status_code == 202, ended.text


def test_remoteit_lists_connects_and_stops(installation: Installation) -> None:
    serial, _ = installation.bound(installation.key("rufus"))
    (device,) = installation.api.get("devices", serial=serial)["items"]
    address = secrets.token_bytes(8).hex(":").upper()
    installation.api.ask("PUT", "devices", device["device"], "address", body={"address": address})
    installation.made.callback(installation.api.ask, "DELETE", "devices", device["device"], "address")
    headers = {"developerkey": installation.key("remoteit"), "token": installation.token("remoteit")}

    def ask(method: str, path: str, **body: str) -> dict[str, object]:
        answer = installation.http.request(method, f"/apv/v27/device/{path}", headers=headers, json=body or None)
        assert answer.json()["status"] == "true", answer.text
        return dict(answer.json())

    assert [device["deviceaddress"] for device in ask("GET", "list/all")["devices"]] == [address]
    connection = ask("POST", "connect", deviceaddress=address, wait="true")["connectionid"]
    ask("POST", "connect/stop", deviceaddress=address, connectionid=connection)


def test_vodlix_adds_checks_and_records(installation: Installation) -> None:
    managed = installation.http.get("/api/base/configs").json()["configs"]["device_management"]
    about = {"device_os": "none", "device_version": "1", "device_type": "none", "app_version": "1", "app_name": NAME}
    added = installation.http.post("/api/v2/device", json=PLAYER | about).json()
    if managed not in (1, "1"):
        assert added["status"] == 400  # An operator has turned off adding devices.
        return
    assert (added["status"], added["data"]["ban_status"]) == (200, 0), added
    for path, body in (("device_check", PLAYER), ("device_activity", PLAYER | {"current_screen": "home"})):
        assert installation.http.post(f"/api/v2/{path}", json=body).json()["status"] == 200


def test_device_is_online_while_connected(
    installation: Installation, outputs: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    serial, deviceid = installation.bound(installation.key("rufus"))

    def state() -> str:
        (device,) = installation.api.get("devices", serial=serial)["items"]
        return str(installation.api.get("devices", device["device"])["presence"]["state"])

    async def connected() -> tuple[float, str]:
        """Return the seconds of a ping message's round trip, and the state of the connected device."""
        device = await Device.connect(outputs["DevicesUrl"], deviceid)
        try:
            asked = time.monotonic()
            assert await device.ask({"type": "ping"}) == "pong"
            return time.monotonic() - asked, await asyncio.to_thread(state)
        finally:
            await device.socket.close(NORMAL)

    seconds, connected_state = asyncio.run(asyncio.wait_for(connected(), 60))
    with capsys.disabled():
        sys.stdout.write(f"a ping message took {seconds * 1000:.0f} ms\n")
    assert connected_state == "online"
    # The end of the connection is recorded only if its event has what the authorizer told of the device.
    for _ in range(30):
        if state() == "offline":
            return
        time.sleep(1)
    raise AssertionError("the device is still online half a minute after it disconnected")


def test_bytes_go_through_the_device_link_to_a_device_and_back(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    test = installation.api.post("doctor", "link")
    installation.made.callback(installation.api.ask, "DELETE", "doctor", "link", test["run"])
    *echoes, large = round_trip.measure(test, [1] * ECHOES + [MEGABYTE])
    with capsys.disabled():
        sys.stdout.write(
            f"through the device link, a byte took {statistics.median(echoes) * 1000:.0f} ms there and back,"
            f" and 1 MB {large:.1f} s ({1 / large:.1f} MB/s)\n"
        )
