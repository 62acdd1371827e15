"""Real devices: the agent against the local server, as its users see it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.servers import Server
from tools.template import ROOT

TSL = {
    "properties": [
        {"id": 1, "code": "temperature", "name": "T", "type": "PROPERTY", "dataType": "FLOAT", "subType": "R"},
        {"id": 2, "code": "switch", "name": "S", "type": "PROPERTY", "dataType": "BOOL", "subType": "RW"},
    ]
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("link") / "state")
    yield running
    assert running.stop() == 0, running.output


@contextmanager
def agent(server: Server, folder: Path, credential: str, program: str, *arguments: str) -> Iterator[None]:
    """Run a program of the agent's folder with a credential."""
    path = folder / "credential"
    path.touch(mode=0o600)
    path.write_text(credential)
    url = server.environment["DEVICES_URL"]
    options = [url, str(path)] if program.startswith("example") else ["--url", url, "--credential-file", str(path)]
    process = subprocess.Popen([sys.executable, ROOT / "agent" / program, *options, *arguments], stderr=subprocess.PIPE)
    try:
        yield
    finally:
        process.terminate()
        process.communicate()


def eventually(ask: Callable[[], Any], expected: Any) -> None:
    """Wait until a question has the expected answer."""
    for _ in range(300):
        if (found := ask()) == expected:
            return
        time.sleep(0.1)
    assert found == expected


def test_company_sees_its_device_online_and_unbinding_takes_it_offline(server: Server, tmp_path: Path):
    demo = server.environment
    key, unbinder = ({"api_key": demo[name]} for name in ("RUFUS_API_KEY", "RUFUS_UNBIND_KEY"))
    device = {"model": "Model X1", "serial_number": "DEVICE-123"}
    bound = httpx.post(f"{server.url}/v0/devices", headers=key, json=device).json()["deviceid"]
    assert bound == demo["RUFUS_DEVICE_CREDENTIAL"]

    def state() -> str:
        found: str = operate(server, "show", "--serial", "DEVICE-123")["presence"]["state"]
        return found

    def last_seen() -> Any:
        return httpx.get(f"{server.url}/v0/devices/{bound}", headers=key).json()["result"]["last_seen"]

    assert (state(), last_seen()) == ("never connected", None)
    with agent(server, tmp_path, bound, "bindery_agent.py", "--service", "http=127.0.0.1:80"):
        eventually(state, "online")
        assert last_seen() is not None
    eventually(state, "offline")
    with agent(server, tmp_path, bound, "bindery_agent.py"):
        eventually(state, "online")
        assert httpx.delete(f"{server.url}/v0/devices/{bound}", headers=unbinder).status_code == 200
        assert state() == "never connected"


def test_user_reads_and_controls_a_device(server: Server, tmp_path: Path):
    demo = server.environment
    user = {"Authorization": demo["QUECTEL_TOKEN"]}
    base = f"{server.url}/v2/binding/enduserapi"
    place = {"pk": demo["QUECTEL_PK"], "sn": demo["QUECTEL_SN"]}
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


def operate(server: Server, *arguments: str, group: str = "devices") -> Any:
    """Run a command of the operators' command line, and return its result."""
    program = Path(sys.executable).with_name("bindery")
    environment = {"PATH": os.environ["PATH"], "BINDERY_ENDPOINT": server.url} | {
        name: server.environment[name] for name in ("BINDERY_ACCESS_KEY_ID", "BINDERY_SECRET_ACCESS_KEY")
    }
    ran = subprocess.run(
        [program, group, *arguments], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(ran.stdout)
