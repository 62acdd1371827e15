"""Acknowledged writes survive the end of the local server and its registry, however they end."""

import os
import signal
from pathlib import Path

import httpx
import pytest

from tests.server.programs import bind
from tests.server.servers import Server

PHONE = {
    "external-device-identifier": "990000862471854",
    "operating-system": "iOS 9.x",
    "nickname": "My Phone",
    "brand-name": "Apple IPhone",
    "model-name": "IP-6S",
}


def bind_serial(server: Server, suffix: str = "") -> int:
    demo = server.environment
    code: int = httpx.post(
        f"{server.url}/v2/binding/enduserapi/bindDeviceSn",
        params={"pk": demo["QUECTEL_PK"], "sn": demo["QUECTEL_SN"]},
        headers={"Authorization": demo[f"QUECTEL_TOKEN{suffix}"]},
    ).json()["code"]
    return code


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill -9"])
def test_acknowledged_writes_survive_a_restart(tmp_path: Path, ending: signal.Signals):
    first = Server(tmp_path)
    deviceid = bind(first)
    assert bind_serial(first) == 200
    demo = first.environment
    bearer = {"Authorization": f"bearer {demo['ASSECO_TOKEN']}"}
    for path in ("owned-devices", "owned-devices/990000862471854/unregister"):
        httpx.post(f"{first.url}/v1/device/{path}", headers=bearer, json=PHONE)
    assert first.stop(ending) == (-9 if ending == signal.SIGKILL else 0), first.output

    second = Server(tmp_path)
    assert bind(second) == deviceid
    assert bind_serial(second) == 5049
    bearer = {"Authorization": f"bearer {second.environment['ASSECO_TOKEN']}"}
    shown = httpx.get(f"{second.url}/v1/device/devices/990000862471854", headers=bearer).json()
    assert shown["status"] == "unregistered"
    kept = [name for name in demo if "KEY" in name]
    assert {name: second.environment[name] for name in kept} == {name: demo[name] for name in kept}
    assert second.stop() == 0


def test_acknowledged_writes_survive_a_registry_crash(tmp_path: Path):
    first = Server(tmp_path)
    deviceid = bind(first)
    assert bind_serial(first) == 200
    os.kill(first.registry, signal.SIGKILL)
    assert first.end() == 1
    assert "the local registry stopped unexpectedly (exit code -9)" in first.output[-1]
    (journal,) = (tmp_path / "registry").glob("journal-*")
    with journal.open("ab") as file:
        # A power failure during a write that was not acknowledged.
        file.write(b'{"headers": [["x-amz-target", "DynamoDB_2012')

    second = Server(tmp_path)
    assert bind(second) == deviceid
    assert bind_serial(second) == 5049
    assert second.stop() == 0
