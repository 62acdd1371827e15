"""The quectel API as an app uses it: log in, bind, rename, share, connect, unbind, and bind as another user."""

import json
from typing import Any

import httpx

from bindery.core import clock
from bindery.registry import identity
from tests.server.servers import Server
from tests.server.test_admin import signed
from tools.local import quectel_login
from tools.local.signatures import Operator

ADDRESS = "80:00:00:00:00:00:00:A1"


class App:
    """A user's app. It checks `code` first, as clients of this API do."""

    def __init__(self, client: httpx.Client, server: Server, suffix: str) -> None:
        self.client, self.demo = client, server.environment
        email, password = self.demo[f"QUECTEL_EMAIL{suffix}"], self.demo[f"QUECTEL_PASSWORD{suffix}"]
        form = quectel_login.form(email, password, self.demo["QUECTEL_USER_DOMAIN"], self.demo["QUECTEL_DOMAIN_SECRET"])
        answer = client.post(quectel_login.PATH, data=form).json()
        assert answer["code"] == 200
        self.token = answer["data"]["accessToken"]["token"]

    def outcome(self, method: str, operation: str, **parameters: Any) -> tuple[int, Any]:
        answer = self.client.request(
            method,
            f"/v2/binding/enduserapi/{operation}",
            params=parameters,
            headers={"Authorization": self.token},
        )
        assert answer.status_code == 200
        body = answer.json()
        return body["code"], body["data"]

    def ask(self, method: str, operation: str, **parameters: Any) -> Any:
        code, found = self.outcome(method, operation, **parameters)
        assert code == 200, (operation, code)
        return found

    def listed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", "userDeviceList", page=1, pageSize=100)["list"]
        return found

    def connect(self) -> int:
        """Connect to the device by its service address, and return the status."""
        headers = {"developerkey": self.demo["REMOTEIT_DEVELOPER_KEY"], "token": self.demo["REMOTEIT_TOKEN"]}
        body = {"deviceaddress": ADDRESS, "wait": "true"}
        return self.client.post("/apv/v27/device/connect", headers=headers, json=body).status_code


def give_address(server: Server, device: str) -> None:
    """Assign a service address to a device as an operator, so that users can connect to it."""
    operator = Operator(server.environment["BINDERY_ACCESS_KEY_ID"], server.environment["BINDERY_SECRET_ACCESS_KEY"])
    url = f"{server.url}/admin/v1/devices/{identity.opaque(device)}/address"
    body = json.dumps({"address": ADDRESS}).encode()
    headers = signed("PUT", url, body=body, headers={"Content-Type": "application/json"}, by=operator)
    assert httpx.put(url, headers=headers, content=body).status_code == 200


def test_device_is_bound_renamed_shared_connected_and_unbound(server: Server, client: httpx.Client) -> None:
    ada, ben = App(client, server, ""), App(client, server, "_OTHER")
    pk, sn = ada.demo["QUECTEL_PK_OTHER"], ada.demo["QUECTEL_SN_OTHER"]
    give_address(server, identity.manufactured_device(pk, sn))

    assert ada.ask("GET", "getDeviceInfoByBinding", pk=pk)["bindingMode"] == 2
    bound = ada.ask("POST", "bindDeviceSn", pk=pk, sn=sn, deviceName="Front door")
    keys = {"pk": bound["pk"], "dk": bound["dk"]}
    assert ada.outcome("GET", "getDeviceInfoByBinding", **keys)[0] == 5049
    shown = ada.ask("GET", "deviceInfo", **keys)
    assert shown in ada.listed()
    assert (shown["sn"], shown["deviceName"], shown["authKey"]) == (sn, "Front door", bound["authKey"])
    assert ben.outcome("GET", "deviceInfo", **keys)[0] == 5052

    assert ada.ask("PUT", "setDeviceInfo", **keys, deviceName="Back door") == {}
    code = ada.ask("POST", "shareInfo", **keys, acceptingExpireAt=clock.now() + 60_000)
    assert ben.ask("GET", "deviceInfo", shareCode=code)["authKey"] == ""
    assert ben.ask("POST", "shareDevice", shareCode=code) == {}
    assert ben.outcome("POST", "shareDevice", shareCode=code)[0] == 6040
    assert ben.outcome("POST", "bindDeviceSn", pk=pk, sn=sn)[0] == 6040
    (seen,) = [device for device in ben.listed() if device["deviceKey"] == keys["dk"]]
    assert (seen["deviceName"], seen["deviceType"]) == ("Back door", 2)
    assert seen["authKey"] not in ("", bound["authKey"])

    assert ada.ask("DELETE", "unbundlingDeviceDk", **keys) == {"bindingSum": 0}
    for app in (ada, ben):
        assert keys["dk"] not in [device["deviceKey"] for device in app.listed()]
        assert app.outcome("DELETE", "unbundlingDeviceDk", **keys)[0] == 5052
    assert ben.outcome("POST", "shareDevice", shareCode=code)[0] == 5136

    assert ben.ask("POST", "bindDeviceSn", pk=pk, sn=sn)["authKey"] != bound["authKey"]
    assert ada.outcome("POST", "bindDeviceSn", pk=pk, sn=sn)[0] == 5412
    assert ada.connect() == 403
    for ended in (ada, ben):
        assert ada.ask("POST", "shareDevice", shareCode=ben.ask("POST", "shareInfo", **keys)) == {}
        assert ada.connect() == 200
        assert ended.ask("DELETE", "unbundlingDeviceDk", **keys) == {"bindingSum": 1 if ended is ada else 0}
        assert ada.connect() == 403
