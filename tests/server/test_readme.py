"""The README's requests and its walkthrough, command by command, on a new server.

`ssh` is a program that connects as OpenSSH's client does, and prints what the server says first; `make ssh` runs
OpenSSH itself.
"""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.programs import BINDERY, TIME_LIMIT, eventually, serving_tcp
from tests.server.servers import Server, free_port
from tools.template import ROOT

README = (ROOT / "README.md").read_text()
EXAMPLE = re.compile(r"^\*\*(\w+)\*\*.*?^```sh\n(.*?)^```\n```json\n(.*?)\n```", re.MULTILINE | re.DOTALL)
EXAMPLES = EXAMPLE.findall(README)
SECTION = re.search(r"^## Connect a device\n(.*?)^## ", README, re.MULTILINE | re.DOTALL)
assert SECTION is not None
START, SHOW, CONNECT, SSH, TUNNEL, UNBIND = re.findall(r"^```sh\n(.*?)^```\n", SECTION[1], re.MULTILINE | re.DOTALL)
BANNER = b"SSH-2.0-Device\r\n"
CLIENT = f"""#!{sys.executable}
import socket, subprocess, sys
option, value, target = sys.argv[1:]
if option == "-p":
    with socket.create_connection((target.partition("@")[2], int(value)), {TIME_LIMIT}) as connection:
        said = connection.makefile("rb").readline()
else:
    assert option == "-o" and target == "me@device", sys.argv
    proxy = subprocess.Popen(value.removeprefix("ProxyCommand="), shell=True, stdin=-1, stdout=-1)
    said = proxy.stdout.readline()
    proxy.stdin.close()
    proxy.wait({TIME_LIMIT})
sys.stdout.buffer.write(said)
"""
VARYING = {"deviceid", "authKey", "timestamp", "time", "expirationsec", "connectionid", "proxy", "proxyserver"} | {
    "requested",
    "requestedAt",
}
"""Members whose value differs between installations or requests. All others must match the README exactly."""


class Walk:
    """A checkout in which the README's commands run."""

    def __init__(self, folder: Path, server: Server, ssh_port: int) -> None:
        self.server = server
        self._folder = folder
        for name, target in ((".local", server.state), ("agent", ROOT / "agent"), ("docs", ROOT / "docs")):
            (folder / name).symlink_to(target)
        program = folder / "bin" / "ssh"
        program.parent.mkdir()
        program.write_text(CLIENT)
        program.chmod(0o755)
        self._changes = {
            "http://127.0.0.1:3000": server.url,
            "http.server 8000": f"http.server {(page := free_port())}",
            "http=127.0.0.1:8000": f"http=127.0.0.1:{page}",
            "ssh=127.0.0.1:22": f"ssh=127.0.0.1:{ssh_port}",
            ".venv/run/bin/bindery": str(BINDERY),
        }

    def start(self, commands: str) -> subprocess.Popen[str]:
        for text, change in self._changes.items():
            commands = commands.replace(text, change)
        return subprocess.Popen(
            ["bash", "-euc", commands],
            cwd=self._folder,
            env={"USER": "me", "PATH": f"{self._folder / 'bin'}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, commands: str) -> str:
        process = self.start(commands)
        output, errors = process.communicate(timeout=TIME_LIMIT)
        assert process.returncode == 0, errors
        return output


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    server = Server(tmp_path_factory.mktemp("readme") / "state")

    def greet(opened: socket.socket) -> None:
        opened.sendall(BANNER)
        opened.recv(1)

    with serving_tcp(greet) as port:
        yield Walk(tmp_path_factory.mktemp("checkout"), server, port)
    assert server.stop() == 0, server.output


def shape(value: Any, name: str = "") -> Any:
    """Replace varying values in a JSON value by their type and length, keeping the order of members."""
    if isinstance(value, dict):
        return [(member, shape(content, member)) for member, content in value.items()]
    if name in VARYING:
        return type(value), len(value) if isinstance(value, str) and name != "requested" else None
    return value


def test_readme_has_an_example_of_each_api() -> None:
    assert [name for name, _, _ in EXAMPLES] == ["rufus", "quectel", "asseco", "remoteit", "vodlix"]


@pytest.mark.parametrize(("name", "script", "answer"), EXAMPLES, ids=[name for name, _, _ in EXAMPLES])
def test_readme_example_returns_the_response_shown(walk: Walk, name: str, script: str, answer: str) -> None:
    printed, port = walk.run(script), walk.server.port
    answered = printed.replace(f"localhost:{port}", "localhost:3000").replace(f'"{port}"', '"3000"')
    assert shape(json.loads(answered)) == shape(json.loads(answer))
    assert printed == json.dumps(json.loads(printed), separators=(",", ":"))


def test_walkthrough_of_the_readme(walk: Walk) -> None:
    def run(commands: str) -> str:
        return walk.run(f". .local/demo.env\n{commands}")

    def presence() -> str:
        state: str = json.loads(run(SHOW))["presence"]["state"]
        return state

    def page(url: str) -> httpx.Response:
        host = url.removeprefix("http://")
        return httpx.get(walk.server.url, headers={"Host": host}, timeout=TIME_LIMIT)

    deviceid = json.loads(run(EXAMPLES[0][1]))["deviceid"]
    assert presence() == "never connected"
    device = walk.start(START)
    try:
        eventually(presence, "online")
        proxy = json.loads(run(CONNECT))["connection"]["proxy"]
        assert (page(proxy).status_code, "agent.md" in page(proxy).text) == (200, True)
        connect, ssh = SSH.rsplit("\n", 2)[:2]
        opened: dict[str, Any] = json.loads(run(connect))["connection"]
        assert opened["proxy"] == f"http://127.0.0.1:{opened['proxyport']}"
        assert run(ssh.replace("34168", opened["proxyport"])).encode() == BANNER.replace(b"\r", b"")
        assert run(TUNNEL).encode() == BANNER.replace(b"\r", b"")
        assert json.loads(run(UNBIND))["deviceid"] == deviceid
        assert presence() == "never connected"
        assert page(proxy).status_code == 404
    finally:
        os.killpg(device.pid, 15)
        _, log = device.communicate(timeout=TIME_LIMIT)
    assert "offline: the device was unbound" in log
