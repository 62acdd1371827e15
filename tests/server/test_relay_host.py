"""Ports of the relay host: the local server's own, and those of the program."""

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server import programs
from tests.server.programs import agent, bind, echo, eventually, operate, read_all, serving_tcp, user
from tests.server.servers import Server


@pytest.fixture(scope="module", autouse=True)
def device(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep a device online that has an ssh service."""
    folder, bound = tmp_path_factory.mktemp("relay"), bind(server)
    with (
        serving_tcp(echo) as port,
        agent(server, folder, bound, "bindery_agent.py", f"--service=ssh=127.0.0.1:{port}"),
    ):
        address = server.environment["REMOTEIT_SSH_ADDRESS"]
        eventually(lambda: operate(server, "show", "--address", address)["presence"]["state"], "online")
        yield


def lease(server: Server) -> dict[str, Any]:
    demo = server.environment
    headers = {"token": demo["REMOTEIT_TOKEN"], "developerkey": demo["REMOTEIT_DEVELOPER_KEY"]}
    asked = {"deviceaddress": demo["REMOTEIT_SSH_ADDRESS"]}
    answer = httpx.post(f"{server.url}/apv/v27/device/connect", headers=headers, json=asked)
    made: dict[str, Any] = answer.json()["connection"]
    return made


def connect(port: int, client: str = "127.0.0.1", host: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection((host, port), programs.TIME_LIMIT, source_address=(client, 0))


def exchange(opened: socket.socket, data: bytes) -> bytes:
    """Send data and its end, and return the answer; nothing, if the connection is refused."""
    with opened:
        try:
            opened.sendall(data)
            opened.shutdown(socket.SHUT_WR)
            return read_all(opened)
        except (ConnectionError, OSError):
            return b""


def test_end_of_a_connection_ends_its_use(server: Server):
    port = int(lease(server)["proxyport"])
    with connect(port) as opened:
        opened.sendall(b"x")
        assert opened.recv(1) == b"x"
        operate(server, "stop", "--address", server.environment["REMOTEIT_SSH_ADDRESS"], "ada", group="connections")
        with pytest.raises(ConnectionResetError):
            opened.recv(opened.send(b"x"))
    assert exchange(connect(port), b"x") == b""


@contextmanager
def relay_host(server: Server, first: int, address: str = "127.0.0.9") -> Iterator["subprocess.Popen[str]"]:
    """The program at ports of the local server's own relay host, at another address."""
    operator = {name: server.environment[name] for name in ("BINDERY_ACCESS_KEY_ID", "BINDERY_SECRET_ACCESS_KEY")}
    command = [programs.BINDERY, "relay-host", f"--listen={address}", f"--ports={first}-{first + 1}"]
    process = subprocess.Popen(command, env=user(server) | operator, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.endswith(f"listening on {address}, ports {first} to {first + 1}\n"), line + process.stderr.read()
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_program_carries_connections_and_logs_them(server: Server):
    port = int(lease(server)["proxyport"])
    with relay_host(server, port) as process:
        assert exchange(connect(port, host="127.0.0.9"), b"hello") == b"hello"
        assert exchange(connect(port + 1, host="127.0.0.9"), b"hello") == b""
        with connect(port, client="127.0.0.7", host="127.0.0.9") as refused:
            assert refused.recv(1) == b""
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=programs.TIME_LIMIT)
    assert process.returncode == 0
    lines = [line.split(" ", 1)[1] for line in said.splitlines()]
    assert lines[0].startswith(f"127.0.0.1 at port {port} reaches device ")
    assert lines[0].endswith(" as ada")
    assert lines[1:] == [
        f"127.0.0.1 at port {port} has left",
        f"127.0.0.1 at port {port + 1} was refused: The client has no connection at this port.",
        f"127.0.0.7 at port {port} was refused: The client has no connection at this port.",
    ]


def test_local_server_ends_with_its_relay_host(tmp_path: Path):
    server = Server(tmp_path / "state", module="tests.server.broken")
    assert server.end() == 1
    assert server.output[-1] == "bindery: the relay host stopped unexpectedly (RuntimeError('broken'))\n"
