"""The test vectors of docs/agent.md are what the agent sends and understands."""

import asyncio
import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from agent.bindery_agent import CLOSE, PING, PONG, TEXT, Service, Stream, Streams, accept_for, encode_frame
from tests.agent.link_server import LinkServer, Online, in_loop
from tests.agent.simulation import simulated
from tests.agent.test_websocket import read
from tools.template import ROOT

PAGE = (ROOT / "docs/agent.md").read_text()
EXCHANGES = re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SENT, RECEIVED = (block.splitlines() for block in re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
FRAMES = dict(re.findall(r"^\| ((?:agent|server): .*) \| `([0-9a-f]+)` \|$", PAGE, re.MULTILINE))
KEY = bytes.fromhex("37fa213d")


@in_loop
async def test_agent_sends_the_documented_messages(tmp_path: Path) -> None:
    hello, ping, report, result = SENT
    welcome, pong, command, refused, bye, failure = RECEIVED
    services = [Service("http", "127.0.0.1", 80), Service("ssh", "127.0.0.1", 22)]
    async with LinkServer() as server, Online(server.url, tmp_path, services=services) as agent:

        async def obey(values: Any) -> None:
            assert values == {"switch": True}

        agent.agent.obey = obey
        link = await server.accept()
        assert (await link.frame()).payload.decode() == hello
        link.send_text(json.dumps(json.loads(welcome) | {"heartbeat": 1}))
        assert (await link.frame()).payload.decode() == ping
        link.send_text(pong)
        await agent.line("pong")
        assert await agent.agent.report(temperature=20.5, switch=True)
        assert (await link.frame()).payload.decode() == report
        link.send_text(command)
        assert (await link.frame()).payload.decode() == result
        link.send_text(refused)
        await agent.line("the server refused a message: not in the product's TSL")
        link.send_text(failure)
        await agent.line("the server reported: Internal server error")
        link.send_text(bye)
        await agent.line("offline: another connection with this credential replaced this one")


def test_upgrade_has_the_documented_accept_header() -> None:
    [key] = re.findall(r"^Sec-WebSocket-Key: (.*)$", PAGE, re.MULTILINE)
    [accept] = re.findall(r"`Sec-WebSocket-Accept` for the key in the request above is `(.*)`", PAGE)
    assert accept_for(key) == accept


@pytest.mark.parametrize(
    ("name", "opcode", "payload"),
    [
        ('agent: text `{"type":"ping"}`', TEXT, b'{"type":"ping"}'),
        ("agent: close with code 1001", CLOSE, b"\x03\xe9"),
        ("agent: pong frame in response", PONG, b""),
        ('server: text `{"type":"pong"}`', TEXT, b'{"type":"pong"}'),
        ("server: ping frame without payload", PING, b""),
    ],
)
def test_documented_frame_is_that_of_the_agent(name: str, opcode: int, payload: bytes) -> None:
    frame = bytes.fromhex(FRAMES[name])
    if name.startswith("agent"):
        assert frame == encode_frame(opcode, payload, KEY)
    else:
        assert read(frame) == (True, opcode, payload)


@pytest.mark.parametrize("exchange", EXCHANGES, ids=["request", "lost request", "tunnel", "unknown"])
@simulated
async def test_documented_exchange_is_that_of_the_agent(exchange: str) -> None:
    sent: list[str] = []
    opened: list[Stream] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(json.dumps(message, separators=(",", ":")))

    async def serve(stream: Stream) -> None:
        opened.append(stream)
        stream.listeners.append(stream.consume)

    streams = Streams(serve, asyncio.get_running_loop().time)
    running = asyncio.create_task(streams.run(send))
    for line in exchange.splitlines():
        actor, text = line.split(maxsplit=1)
        if actor == "server":
            streams.receive(json.loads(text))
            await asyncio.sleep(0)
        elif actor == "service" and text == "end":
            opened[0].finish()
        elif actor == "service":
            opened[0].write(base64.b64decode(text))
        elif actor == "wait":
            await asyncio.sleep(float(text))
        else:
            await asyncio.sleep(0.02)
            assert sent.pop(0) == text
    await asyncio.sleep(0.02)
    assert sent == []
    running.cancel()
    await asyncio.wait({running})
