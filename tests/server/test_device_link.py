"""Real devices: the agent against the local server, as its users see it."""

import json
from pathlib import Path
from typing import Any

import httpx

from tests.server.programs import agent, eventually, operate
from tests.server.servers import Server

TSL = {
    "properties": [
        {"id": 1, "code": "temperature", "name": "T", "type": "PROPERTY", "dataType": "FLOAT", "subType": "R"},
        {"id": 2, "code": "switch", "name": "S", "type": "PROPERTY", "dataType": "BOOL", "subType": "RW"},
    ]
}


def test_user_reads_and_controls_a_device(server: Server, tmp_path: Path):
    demo = server.environment
    user = {"Authorization": demo["QUECTEL_TOKEN_OTHER"]}
    base = f"{server.url}/v2/binding/enduserapi"
    place = {"pk": demo["QUECTEL_PK_OTHER"], "sn": demo["QUECTEL_SN_OTHER"]}
    device = httpx.post(f"{base}/bindDeviceSn", params=place, headers=user).json()["data"]
    keys = {"pk": device["pk"], "dk": device["dk"]}
    (tmp_path / "tsl.json").write_text(json.dumps(TSL))
    operate(server, "tsl", device["pk"], str(tmp_path / "tsl.json"), group="products")
    sensor = tmp_path / "temp"
    sensor.write_text("20500\n")

    def online() -> Any:
        return httpx.get(f"{base}/getDeviceOnlineStatus", params=keys, headers=user).json()["data"]["online"]

    def values() -> dict[str, str]:
        found = httpx.get(f"{base}/getDeviceBusinessAttributes", params=keys, headers=user).json()["data"]
        return {each["resourceCode"]: each["resourceValce"] for each in found["customizeTslInfo"]}

    with agent(server, tmp_path, device["authKey"], "example_thermostat.py", str(sensor)):
        eventually(online, 1)
        eventually(values, {"temperature": "20.5"})
        target = {"productKey": device["pk"], "deviceKey": device["dk"]}
        command = {"data": '[{"switch":true}]', "deviceList": [target], "type": 2}
        sent = httpx.post(f"{base}/batchControlDevice", json=command, headers=user).json()["data"]
        assert (sent["successList"][0]["data"], sent["failureList"]) == (target, [])
        eventually(values, {"temperature": "20.5", "switch": "true"})
    eventually(online, 0)
