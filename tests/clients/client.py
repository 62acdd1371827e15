"""Clients in the style of Python scripts: urllib raises for any status but 2xx, and typed parsers fail on null."""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

ENV = os.environ
HOST = ENV["HOST"]


def ask(method: str, path: str, headers: dict[str, str], body: Any = None, form: Any = None, query: Any = None) -> Any:
    url = f"{HOST}/{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
    data = json.dumps(body).encode() if body is not None else urllib.parse.urlencode(form).encode() if form else None
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read().decode()
    return json.loads(text) if text else None


def typed(record: dict[str, Any], **types: type) -> dict[str, Any]:
    """Parse a record as a typed parser does: each member is present, and of its type."""
    for name, kind in types.items():
        if type(record[name]) is not kind:
            raise TypeError(f"{name}: {record[name]!r} is not {kind.__name__}")
    return record


def rufus() -> None:
    company = {"api_key": ENV["RUFUS_API_KEY"], "Content-Type": "application/json"}
    given = {"model": "Client", "serial_number": "PYTHON-1", "alias": "gate", "firmware": "1.0"}
    bound = typed(ask("POST", "/v0/devices/", company, given), description=str, deviceid=str)
    path = f"v0/devices/{bound['deviceid']}"
    shown = typed(ask("GET", path, company)["result"], deviceid=str, model=str, serial_number=str, creation_date=str)
    assert shown["alias"] == "gate"
    page = ask("GET", "v0/devices/", company, query={"page": 1, "limit": 100})
    typed(page["pagination"], page=int, limit=int, total=int, has_more=bool)
    assert bound["deviceid"] in [device["deviceid"] for device in page["result"]]
    ask("DELETE", path, {"x-api-key": ENV["RUFUS_UNBIND_KEY"]})
    try:
        ask("GET", path, company)
    except urllib.error.HTTPError as error:
        refused = typed(json.load(error), description=str), error.code
    assert refused == ({"description": "Device not found"}, 404)


def encrypted(password: str, random: str) -> str:
    key = hashlib.md5(random.encode()).hexdigest().upper()[8:24]
    cipher = ["openssl", "enc", "-aes-128-cbc", "-K", key.encode().hex(), "-iv", (key[8:] + key[:8]).encode().hex()]
    return base64.b64encode(
        subprocess.run(cipher, input=password.encode(), capture_output=True, check=True).stdout
    ).decode()


def quectel() -> None:
    base = "/v2/enduser/enduserapi/"
    email, domain, random = ENV["QUECTEL_EMAIL"], ENV["QUECTEL_USER_DOMAIN"], "Abcdefgh12345678"
    pwd = encrypted(ENV["QUECTEL_PASSWORD"], random)
    signature = hashlib.sha256(f"{email}{pwd}{random}{ENV['QUECTEL_DOMAIN_SECRET']}".encode()).hexdigest()
    form = {"email": email, "pwd": pwd, "random": random, "userDomain": domain, "signature": signature}
    user: dict[str, str] = {}

    def data(method: str, operation: str, form: Any = None, **query: Any) -> Any:
        answer = typed(ask(method, base + operation, user, form=form, query=query), code=int, msg=str, extMsg=str)
        assert answer["code"] == 200, answer
        return answer["data"]

    login = data("POST", "emailPwdLogin", form)
    for name in ("accessToken", "refreshToken"):
        typed(login[name], token=str, expirationTime=int)
    user["Authorization"] = login["accessToken"]["token"]
    base = "/v2/binding/enduserapi/"
    bound = typed(data("POST", "bindDeviceSn", pk=ENV["QUECTEL_PK"], sn=ENV["QUECTEL_SN"]), pk=str, dk=str, authKey=str)
    device = {"pk": bound["pk"], "dk": bound["dk"]}
    data("PUT", "setDeviceInfo", deviceName="lamp", **device)
    page = typed(data("GET", "userDeviceList", page=1, pageSize=10), list=list, total=int, pages=int, isLastPage=bool)
    typed(
        page["list"][0], productKey=str, deviceKey=str, deviceName=str, sn=str, onlineStatus=int, deviceBindTimeTs=int
    )
    assert data("GET", "deviceInfo/", **device)["deviceName"] == "lamp"
    data("DELETE", "unbundlingDeviceDk", **device)


def remoteit() -> None:
    developer = {"developerkey": ENV["REMOTEIT_DEVELOPER_KEY"], "Content-Type": "application/json"}
    name = {"username": ENV["REMOTEIT_USERNAME"], "password": ENV["REMOTEIT_PASSWORD"]}
    login = typed(ask("POST", "apv/v27//user/login", developer, name), status=str, token=str, service_authhash=str)
    user = developer | {"token": login["token"]}
    listed = typed(ask("GET", "apv/v27//device/list/all", user), status=str, devices=list, length=int)
    for device in listed["devices"]:
        typed(device, **dict.fromkeys(device, str) | {"scripting": bool})
    address = {"deviceaddress": ENV["REMOTEIT_DEVICE_ADDRESS"]}
    answer = ask("POST", "apv/v27/device/connect/", user, address | {"wait": "true"})
    typed(answer["connection"], **dict.fromkeys(answer["connection"], str))
    proxy = re.search(r"(https?)://(\S+)", answer["connection"]["proxy"])
    assert proxy
    assert proxy[2].split(":")[0] == answer["connection"]["proxyserver"]
    stop = address | {"connectionid": answer["connectionid"]}
    assert ask("POST", "apv/v27/device/connect/stop", user, stop)["status"] == "true"


def asseco() -> None:
    customer = {"Authorization": f"Bearer {ENV['ASSECO_TOKEN']}", "Content-Type": "application/json"}
    imei = "356938035643809"
    phone = {
        "external-device-identifier": imei,
        "operating-system": "Android",
        "nickname": "Mine",
        "brand-name": "B",
        "model-name": "M",
    }
    typed(ask("POST", "v1/device/owned-devices/", customer, phone), id=str, CreatedRecordStatus=str)
    ask("PUT", f"v1/device/owned-devices/{imei}/nickname", customer, {"nickname": "Ours"})
    (shown,) = [each for each in ask("GET", "v1/device//owned-devices", customer)["devices"] if each["imei"] == imei]
    assert typed(shown, imei=str, status=str, nickname=str)["nickname"] == "Ours"
    ask("POST", f"v1/device/owned-devices/{imei}/block", customer, {})
    assert ask("GET", f"v1/device/devices/{imei}/", customer)["status"] == "blocked"
    ask("POST", f"v1/device/owned-devices/{imei}/unblock", customer, {})
    ask("POST", f"v1/device/devices/{imei}/unregister", customer)


def vodlix() -> None:
    player = {"mac_address": "AABBCCDDEE01", "device_os": "Tizen", "device_version": "5", "device_type": "TV"}
    assert ask("GET", "api/base/configs", {})["configs"]["device_management"] == 1
    added = typed(ask("POST", "/api/v2/device", {}, form=player | {"app_version": "2", "app_name": "A"}), status=int)
    typed(added["data"], mac_address=str, status=int, ban_status=int)
    checked = ask("POST", "api/v2/device_check/", {}, {"mac_address": player["mac_address"]})
    assert checked["data"]["ban_status"] == 0


if __name__ == "__main__":
    globals()[sys.argv[1]]()
