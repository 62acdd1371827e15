"""Programs of devices, users and operators against a running server."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import typer
from click.testing import CliRunner

from tests.server.servers import Server
from tools.cli.main import app
from tools.template import ROOT

BINDERY = Path(sys.executable).with_name("bindery")
COMMAND = typer.main.get_command(app)
"""The command line. Typer would build it for each invocation, which takes longer than most commands."""
TIME_LIMIT = 60


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


def bind(server: Server, serial: str = "DEVICE-123", key: str | None = None) -> str:
    headers = {"api_key": key or server.environment["RUFUS_API_KEY"]}
    answer = httpx.post(
        f"{server.url}/v0/devices", headers=headers, json={"model": "Model X1", "serial_number": serial}
    )
    assert answer.status_code == 201, answer.text
    deviceid: str = answer.json()["deviceid"]
    return deviceid


def eventually(ask: Callable[[], Any], expected: Any, seconds: int = 30) -> None:
    for _ in range(seconds * 10):
        if (found := ask()) == expected:
            return
        time.sleep(0.1)
    assert found == expected


def operate(server: Server, *arguments: str, group: str = "devices") -> Any:
    """Run a command of the operators' command line in this process, and return its result."""
    names = ("BINDERY_ACCESS_KEY_ID", "BINDERY_SECRET_ACCESS_KEY")
    environment = {"BINDERY_ENDPOINT": server.url} | {name: server.environment[name] for name in names}
    ran = CliRunner().invoke(COMMAND, [group, *arguments], env=environment)
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)


def user(server: Server, suffix: str = "", **more: str) -> dict[str, str]:
    """Return the environment of a user's programs."""
    demo = server.environment
    names = ("REMOTEIT_TOKEN", "REMOTEIT_DEVELOPER_KEY")
    credentials = {name: demo[name + suffix] for name in names}
    return {
        "PATH": os.environ["PATH"],
        "BINDERY_ENDPOINT": server.url,
        "DEVICES_URL": demo["DEVICES_URL"],
        **credentials,
        **more,
    }


class Tunnel:
    """`bindery tunnel --listen`."""

    def __init__(self, environment: dict[str, str], address: str, *options: str) -> None:
        arguments = ["tunnel", address, *options, "--listen", "0"]
        self.process = subprocess.Popen(
            [BINDERY, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        self.said = self.process.stderr.readline()
        found = re.fullmatch(rf"bindery: .* of {address} is at 127\.0\.0\.1:(\d+) until .*\n", self.said)
        assert found, self.said + self.process.stderr.read()
        self.port = int(found[1])

    def __enter__(self) -> "Tunnel":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), TIME_LIMIT)

    def end(self, number: int | None = None) -> tuple[int, str]:
        """Wait until it ends, possibly by a signal. Return its exit code, and what it printed after its first line."""
        if number is not None:
            self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=TIME_LIMIT)
        assert output == ""
        return self.process.returncode, errors

    def interrupt(self) -> tuple[int, str]:
        return self.end(signal.SIGINT)


@contextmanager
def serving_tcp(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve TCP connections, each in a thread, and yield the port."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:

        def accept() -> None:
            # Closing the socket ends it.
            with suppress(OSError):
                while True:
                    opened, _ = listening.accept()
                    threading.Thread(target=attend, args=(opened,), daemon=True).start()

        def attend(opened: socket.socket) -> None:
            with suppress(OSError), opened:
                handle(opened)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


def echo(opened: socket.socket) -> None:
    while data := opened.recv(65536):
        opened.sendall(data)


def read_all(opened: socket.socket) -> bytes:
    """Return what arrives, until the other end closes its direction."""
    found = b""
    while data := opened.recv(65536):
        found += data
    return found


def join(one: socket.socket, other: socket.socket, end: int = socket.SHUT_WR) -> None:
    """Copy between two connections, and end each as `end` says when the other has ended."""

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(end)

    back = threading.Thread(target=copy, args=(other, one), daemon=True)
    back.start()
    copy(one, other)
    back.join()


class Proxy:
    """A TCP proxy between a program and a server, whose connections can be cut."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._open: list[socket.socket] = []

    def __enter__(self) -> "Proxy":
        self._serving = serving_tcp(self._carry)
        self.port = self._serving.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._serving.__exit__(None, None, None)

    def cut(self) -> int:
        ended, self._open = self._open, []
        for opened in ended:
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
        return len(ended) // 2

    def _carry(self, opened: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._target)) as server:
            self._open += [opened, server]
            join(opened, server)
