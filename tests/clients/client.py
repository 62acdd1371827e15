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
    with urllib.request.urlopen(request, timeout=120) as answer:
        text = answer.read().decode()
    return json.loads(text) if text else None


def typed(record: dict[str, Any], **types: type) -> dict[str, Any]:
    """Parse a record as a typed parser does: each member is present, and of its type."""
    for name, kind in types.items():
        if type(record[name]) is not kind:
            raise TypeError(f"{name}: {record[name]!r} is not {kind.__name__}")
    return record


def texts(record: dict[str, Any], *names: str) -> dict[str, Any]:
    return typed(record, **dict.fromkeys(names or record, str))


def rufus() -> None:
    company = {"api_key": ENV["RUFUS_API_KEY"], "Content-Type": "application/json"}
    given = {"model": "Client", "serial_number": "PYTHON-1", "alias": "gate", "firmware": "1.0"}
    bound = texts(ask("POST", "/v0/devices/", company, given), "description", "deviceid")
    path = f"v0/devices/{bound['deviceid']}"
    shown = ask("GET", path, company)["result"]
    typed(texts(shown, "deviceid", "model", "serial_number", "creation_date"), sessions=int, passings=int)
    assert shown["alias"] == "gate"
    page = ask("GET", "v0/devices/", company, query={"page": 1, "limit": 100})
    typed(page["pagination"], page=int, limit=int, total=int, has_more=bool)
    assert bound["deviceid"] in [device["deviceid"] for device in page["result"]]

    found, cursor = [], ""
    while cursor is not None:
        page = ask("GET", "v0/devices", company, query={"limit": 1, "cursor": cursor})
        found += [device["deviceid"] for device in page["result"]]
        cursor = page["pagination"]["cursor"]
    assert bound["deviceid"] in found

    session = ask("POST", "v0/sessions", company, {"deviceid": bound["deviceid"].lower(), "alias": "race"})
    texts(session, "description", "token_session")
    passings = [
        {"timestamp": f"2026-05-06T20:59:{second:02}.250+02:00", "num_passing": second, "bib": str(second)}
        for second in range(3)
    ]
    made = {"token_session": session["token_session"], "passings_list": passings}
    sent = typed(ask("POST", "v0/passings/", company, made), inserted_count=int, duplicate_count=int)
    assert sent["inserted_count"] == 3
    listed = ask("GET", f"{path}/passings", company)["result"]
    assert [texts(passing, "timestamp", "bib")["num_passing"] for passing in listed] == [0, 1, 2]
    shown = texts(ask("GET", path, company)["result"], "last_seen")
    assert (shown["sessions"], shown["passings"]) == (1, 3)

    ask("DELETE", path, {"x-api-key": ENV["RUFUS_UNBIND_KEY"]})
    try:
        ask("GET", path, company)
    except urllib.error.HTTPError as error:
        refused = texts(json.load(error), "description"), error.code
    assert refused == ({"description": "Device not found"}, 404)


def encrypted(password: str, random: str) -> str:
    key = hashlib.md5(random.encode()).hexdigest().upper()[8:24]
    cipher = ["openssl", "enc", "-aes-128-cbc", "-K", key.encode().hex(), "-iv", (key[8:] + key[:8]).encode().hex()]
    made = subprocess.run(cipher, input=password.encode(), capture_output=True, check=True)
    return base64.b64encode(made.stdout).decode()


def quectel() -> None:
    user: dict[str, str] = {}

    def data(method: str, path: str, form: Any = None, body: Any = None, **query: Any) -> Any:
        answer = typed(ask(method, f"/v2/{path}", user, body, form, query), code=int, msg=str, extMsg=str)
        assert answer["code"] == 200, answer
        return answer["data"]

    code, phone, random = ENV["QUECTEL_COUNTRY"], ENV["QUECTEL_PHONE"], "Abcdefgh12345678"
    pwd = encrypted(ENV["QUECTEL_PHONE_PASSWORD"], random)
    signature = hashlib.sha256(f"{code}{phone}{pwd}{random}{ENV['QUECTEL_DOMAIN_SECRET']}".encode()).hexdigest()
    named = {"internationalCode": code, "phone": phone, "userDomain": ENV["QUECTEL_USER_DOMAIN"]}
    login = data("POST", "enduser/enduserapi/phonePwdLogin", pwd=pwd, random=random, signature=signature, **named)
    for name in ("accessToken", "refreshToken"):
        typed(login[name], token=str, expirationTime=int)
    user["Authorization"] = login["accessToken"]["token"]
    again = {"refreshToken": login["refreshToken"]["token"]}
    user["Authorization"] = data("PUT", "enduser/enduserapi/refreshToken", again)["accessToken"]["token"]
    account = data("GET", "enduser/enduserapi/userInfo")
    typed(texts(account, "uid", "email", "phone", "nikeName"), registerTime=int, status=int)

    own = "binding/enduserapi/"
    bound = texts(data("POST", f"{own}bindDeviceSn", pk=ENV["QUECTEL_PK"], sn=ENV["QUECTEL_SN"]), "pk", "dk", "authKey")
    device = {"pk": bound["pk"], "dk": bound["dk"]}
    data("PUT", f"{own}setDeviceInfo", deviceName="lamp", **device)
    page = typed(data("GET", f"{own}userDeviceList", page=1, pageSize=10), list=list, total=int, isLastPage=bool)
    entry = texts(page["list"][0], "productKey", "deviceKey", "deviceName", "sn", "deviceBindTime", "deviceStatus")
    typed(entry, onlineStatus=int, capabilitiesBitmask=int, bindMode=int, deviceBindTimeTs=int)
    assert data("GET", f"{own}deviceInfo/", **device)["deviceName"] == "lamp"
    assert typed(data("GET", f"{own}getDeviceOnlineStatus", **device), online=int)["online"] == 0

    model = json.loads(data("GET", f"{own}productTSL", pk=device["pk"])["tslJson"])
    for prop in model["properties"]:
        typed(texts(prop, "code", "name", "type", "dataType", "subType"), id=int, sort=int)
    writable = [prop["code"] for prop in model["properties"] if "W" in prop["subType"]]
    reported = data("GET", f"{own}getDeviceBusinessAttributes", codeList=",".join(writable), type="2", **device)
    assert typed(reported, customizeTslInfo=list)["customizeTslInfo"] == []
    target = {"productKey": device["pk"], "deviceKey": device["dk"]}
    command = {"data": json.dumps([{writable[0]: True}]), "deviceList": [target], "type": 2}
    outcome = typed(data("POST", f"{own}batchControlDevice", body=command), successList=list, failureList=list)
    assert outcome["failureList"] == [{"data": target, "msg": "Device offline"}]
    data("DELETE", f"{own}unbundlingDeviceDk", **device)


def remoteit() -> None:
    developer = {"developerkey": ENV["REMOTEIT_DEVELOPER_KEY"], "Content-Type": "application/json"}
    name = {"username": ENV["REMOTEIT_USERNAME"], "password": ENV["REMOTEIT_PASSWORD"]}
    login = texts(ask("POST", "apv/v27//user/login", developer, name), "status", "token", "guid", "service_authhash")
    user = developer | {"token": typed(login, auth_expiration=int, announcements=list)["token"]}
    checked = ask("GET", f"apv/v27/user/token/{user['token']}", developer)
    assert checked == {"status": "true", "email": login["email"], "userid": login["guid"]}
    assert texts(ask("POST", "apv/v27/user/info", user, {}), "developer_key", "member_since")["guid"] == login["guid"]

    listed = typed(ask("GET", "apv/v27//device/list/all", user), status=str, devices=list, length=int)
    for device in listed["devices"]:
        typed(device, **dict.fromkeys(device, str) | {"scripting": bool, "weburi": list, "webviewerurl": list})
    (address,) = [each["deviceaddress"] for each in listed["devices"] if each["servicetitle"] == "SSH"]
    counts = ask("GET", "apv/v27/device/count", user)
    assert typed(counts, mine=int, active=int, friends=int)["services"] == listed["length"]
    answer = ask("POST", "apv/v27/device/connect/", user, {"deviceaddress": address, "wait": True})
    assert texts(answer["connection"])["deviceaddress"] == address
    proxy = re.search(r"(https?)://(\S+)", answer["connection"]["proxy"])
    assert proxy
    assert proxy[2].split(":")[0] == answer["connection"]["proxyserver"]
    assert int(answer["connection"]["expirationsec"]) > 0
    stop = {"deviceaddress": address, "connectionid": answer["connectionid"]}
    assert ask("POST", "apv/v27/device/connect/stop", user, stop)["status"] == "true"
    assert ask("POST", "apv/v27/user/logout", user)["status"] == "true"
    assert ask("GET", f"apv/v27/user/token/{user['token']}", developer)["status"] == "false"


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
    own = f"v1/device/owned-devices/{imei}"
    texts(ask("POST", "v1/device/owned-devices/", customer, phone), "id", "CreatedRecordStatus")
    ask("PUT", f"{own}/nickname", customer, {"nickname": "Ours"})
    query = {"device-statuses": "active,blocked", "sort-by": "nickname", "sort-order": "desc", "page-size": 100}
    listed = ask("GET", "v1/device//owned-devices", customer, query=query)["devices"]
    (shown,) = [each for each in listed if each["imei"] == imei]
    assert texts(shown, "imei", "customer-id", "status", "nickname", "brand-name", "model-name")["nickname"] == "Ours"
    ask("PUT", f"{own}/push-notification-handle", customer, {"push-platform": "gcm", "pns-handle": "handle"})
    ask("POST", f"{own}/block", customer, {})
    assert ask("GET", f"v1/device/devices/{imei}/", customer)["status"] == "blocked"
    try:
        ask("POST", f"{own}/block", customer, {})
    except urllib.error.HTTPError as error:
        refused = texts(json.load(error)), error.code
    assert (refused[0]["problem"], refused[1]) == ("device-status-not-valid", 440)
    ask("POST", f"{own}/unblock", customer, {})
    ask("POST", f"v1/device/devices/{imei}/unregister", customer)


def vodlix() -> None:
    player = {"mac_address": "AABBCCDDEE01", "device_os": "Tizen", "device_version": 5, "device_type": "TV"}
    configs = typed(ask("GET", "api/base/configs", {}), status=int, timestamp=int, time=float, ip=str, message=str)
    assert configs["configs"]["device_management"] == 1
    added = typed(ask("POST", "/api/v2/device", {}, player | {"app_version": 2.5, "app_name": "A"}), status=int)
    typed(added["data"], mac_address=str, status=int, ban_status=int)
    checked = ask("POST", "api/v2/device_check/", {}, {"mac_address": player["mac_address"]})
    assert checked["data"]["ban_status"] == 0
    screen = {"current_screen": "content_info", "content_id": 7, "content_type": "movie"}
    assert ask("POST", "api/v2/device_activity", {}, screen | {"mac_address": "aa:bb:cc:dd:ee:01"})["status"] == 200


if __name__ == "__main__":
    globals()[sys.argv[1]]()
