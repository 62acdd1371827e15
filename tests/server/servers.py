"""The local server as a subprocess, and its output."""

import atexit
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from tools.local import serve
from tools.template import ROOT

STRANGE = {
    "AWS_PROFILE": "someone",
    "AWS_SESSION_TOKEN": "theirs",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
}
"""AWS settings of a user, which a server must ignore."""


class Server:
    """`python -m tools.local.serve`, or another module that calls it, with a free port and a state folder."""

    def __init__(self, state: Path, *arguments: str, module: str = "tools.local.serve") -> None:
        self.state = state
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, "--port", "0", "--state", str(state), *arguments],
            cwd=ROOT,
            env=os.environ | STRANGE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output: list[str] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line)
            if line.startswith("ready on "):
                self.url = line.split()[-1]
                break
        else:
            raise AssertionError("".join(self.output))
        # Read all later output, or the server would block on a full pipe.
        self._reader = threading.Thread(target=lambda: self.output.extend(self.process.stdout or []), daemon=True)
        # A test that fails before it stops its server must not keep the test run from ending.
        atexit.register(self.process.kill)
        self._reader.start()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def environment(self) -> dict[str, str]:
        """The variables that demo.env exports."""
        lines = (self.state / "demo.env").read_text().splitlines()
        words = [shlex.split(line) for line in lines]
        assert all(len(line) == 2 and line[0] == "export" for line in words)
        return dict(line[1].split("=", 1) for line in words)

    @property
    def registry(self) -> int:
        return int((self.state / "registry" / "lock").read_text())

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.end()

    def end(self) -> int:
        code = self.process.wait(60)
        self._reader.join(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def exchange(self, request: bytes) -> tuple[int, str, bytes]:
        """Send raw bytes, and return the status, head and body of the response."""
        with socket.create_connection(("127.0.0.1", self.port), 30) as connection:
            connection.sendall(request)
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), head.decode().lower(), body


def free_port() -> int:
    """Return a port on which no program listens, below those that systems and relay hosts of servers choose."""
    while True:
        port = secrets.choice(range(10_000, 20_000))
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Serve an app in a thread, with the settings of the local server, and yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        running = uvicorn.Server(serve.configured(app))
        thread = threading.Thread(target=running.run, args=([listening],))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        running.should_exit = True
        thread.join()
