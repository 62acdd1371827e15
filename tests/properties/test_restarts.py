"""Acknowledged writes survive the end of the local registry, which the local server reports.

`tests/engine` stops and kills the registry, and `tests/server/test_feed.py` kills both.
"""

import os
import signal
from pathlib import Path

import httpx

from tests.server.programs import bind
from tests.server.servers import Server


def bind_serial(server: Server) -> int:
    demo = server.environment
    code: int = httpx.post(
        f"{server.url}/v2/binding/enduserapi/bindDeviceSn",
        params={"pk": demo["QUECTEL_PK"], "sn": demo["QUECTEL_SN"]},
        headers={"Authorization": demo["QUECTEL_TOKEN"]},
    ).json()["code"]
    return code


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
