"""Commands and reports of the agent."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.agent.link_server import CredentialFile, LinkServer, Online, connected, in_loop
from tools.template import ROOT

COMMAND = {"type": "command", "kind": "property", "id": "1", "values": {"switch": True}}


@in_loop
async def test_command_that_arrives_twice_is_carried_out_once(tmp_path: Path) -> None:
    carried_out: list[Any] = []

    async def obey(values: Any) -> None:
        carried_out.append(values)

    async with connected(tmp_path) as (_, agent, link):
        agent.agent.obey = obey
        for _ in range(2):
            link.send(COMMAND)
            assert await link.message() == {"type": "result", "id": "1", "ok": True}
        link.send({"type": "command", "kind": "passthrough", "id": "2", "data": "a0"})
        assert await link.message() == {"type": "result", "id": "2", "ok": True}
    assert carried_out == [{"switch": True}, "a0"]


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ValueError("the switch is locked"), "the switch is locked"),
        (KeyError("switch"), "the command failed"),
        (None, "this device takes no commands"),
    ],
)
@in_loop
async def test_refused_command_is_answered_with_the_reason(tmp_path: Path, error: Exception | None, why: str) -> None:
    async def obey(_: Any) -> None:
        assert error
        raise error

    async with connected(tmp_path) as (_, agent, link):
        agent.agent.obey = obey if error else None
        link.send(COMMAND)
        assert await link.message() == {"type": "result", "id": "1", "ok": False, "why": why}


@in_loop
async def test_report_needs_a_connection(tmp_path: Path) -> None:
    async with LinkServer() as server, Online(server.url, tmp_path) as agent:
        assert not await agent.agent.report(temperature=20.5)
        link = await server.welcomed()
        await agent.line("online")
        assert await agent.agent.report(temperature=20.5)
        assert await link.message() == {"type": "report", "n": 1, "values": {"temperature": 20.5}}


@in_loop
async def test_example_reports_the_temperature_and_the_switch(tmp_path: Path) -> None:
    credential, sensor = CredentialFile(tmp_path), tmp_path / "temp"
    sensor.write_text("20500\n")
    async with LinkServer() as server:
        command = [ROOT / "agent/example_thermostat.py", server.url, credential.path, sensor]
        process = await asyncio.create_subprocess_exec(sys.executable, *command)
        try:
            link = await server.welcomed()
            assert await link.message() == {"type": "report", "n": 1, "values": {"temperature": 20.5}}
            link.send(COMMAND)
            told = [await link.message(), await link.message()]
            assert told == [
                {"type": "report", "n": 2, "values": {"switch": True}},
                {"type": "result", "id": "1", "ok": True},
            ]
        finally:
            process.terminate()
            await process.wait()
