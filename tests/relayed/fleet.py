"""Accounts, users and devices of a running server, each with an agent and an HTTP service of its own."""

import hashlib
import itertools
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from botocore.credentials import Credentials

from tests.server.servers import Server
from tools.cli.client import REGION, Client
from tools.template import ROOT

TIME_LIMIT = 60
BLOCK = b"x" * 1000
LARGE = random.Random(18).randbytes(4_500_000)
"""The largest body."""
PAUSE = 0.05
"""Seconds between blocks of an endless response."""

_numbers = itertools.count(1)


class Service:
    """An HTTP service that says its name. It returns bodies reversed, their hashes, or an endless response."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.received = 0
        """Requests that it received."""
        self.blocks = 0
        """Blocks that it wrote into endless responses."""
        self.begun, self.broken = threading.Event(), threading.Event()
        """The state of an endless response."""
        self.released = threading.Event()
        """Lets the service answer requests that it holds."""
        self._server = _Server(("127.0.0.1", 0), type("Named", (_Handler,), {"service": self}))
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: Service

    def log_message(self, *_: Any) -> None:
        """Log nothing."""

    def do_POST(self) -> None:
        self.service.received += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._return(hashlib.sha256(body).hexdigest().encode() if self.path == "/hash" else body[::-1])

    def do_GET(self) -> None:
        self.service.received += 1
        match self.path:
            case "/endless":
                self._endless()
            case "/large":
                self._return(LARGE)
            case "/held":
                self.service.released.wait(TIME_LIMIT)
                self._return(b"late")
            case _:
                self._return(self.service.name.encode())

    def _return(self, body: bytes) -> None:
        # The agent may have gone.
        with suppress(OSError):
            self.send_response(200)
            self.send_header("X-Device", self.service.name)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def _endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.service.begun.set()
        self.close_connection = True
        with suppress(OSError):
            while True:
                self.wfile.write(BLOCK)
                self.service.blocks += 1
                threading.Event().wait(PAUSE)
        self.service.broken.set()


class Site:
    """A running server, as its operator and its users see it."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.folder = folder
        demo = server.environment
        key_pair = Credentials(demo["BINDERY_ACCESS_KEY_ID"], demo["BINDERY_SECRET_ACCESS_KEY"])
        self.operator = Client(server.url, key_pair, REGION)
        self.http = httpx.Client(
            base_url=server.url, timeout=TIME_LIMIT, limits=httpx.Limits(max_connections=None), trust_env=False
        )

    def close(self) -> None:
        self.operator.close()
        self.http.close()


class Tenant:
    """A new account with a user."""

    def __init__(self, site: Site) -> None:
        self.site = site
        number = next(_numbers)
        self.account, self.user = f"tenant-{number}", f"user-{number}"
        site.operator.post("accounts", account=self.account, name=self.account)
        site.operator.post("users", uid=self.user, account=self.account)
        self.api_key = self._key("rufus", unbind=True)
        self._developer_key = self._key("remoteit")
        self.log_in()

    def _key(self, kind: str, *, unbind: bool = False) -> dict[str, str]:
        made = self.site.operator.post(
            "keys", account=self.account, kind=kind, grant="READ_WRITE", unbind=unbind, alias=kind
        )
        return {"api_key" if kind == "rufus" else "developerkey": made["key"]}

    def log_in(self) -> None:
        token = self.site.operator.post("users", self.user, "tokens", dialect="remoteit", lifetime=3600)["token"]
        self.headers = {"token": token, **self._developer_key}


class Device:
    """A device with a service, a lease of its tenant's user, and an agent that can be started."""

    def __init__(self, tenant: Tenant) -> None:
        number = next(_numbers)
        self.site, self.tenant = tenant.site, tenant
        self.name = f"device-{number}"
        self._place = {"model": "Model X1", "serial_number": self.name}
        self.bind()
        self.id: str = self.site.operator.get("devices", serial=self.name, limit=1)["items"][0]["device"]
        self.address = f"80:00:00:00:00:01:{number // 256:02X}:{number % 256:02X}"
        self.site.operator.ask(
            "PUT", "devices", self.id, "address", body={"address": self.address, "service": "http", "port": 80}
        )
        self.service = Service(self.name)
        self.connect()

    def bind(self) -> None:
        answer = self.site.http.post("/v0/devices", headers=self.tenant.api_key, json=self._place)
        self.credential: str = answer.json()["deviceid"]

    def unbind(self) -> None:
        answer = self.site.http.delete(f"/v0/devices/{self.credential}", headers=self.tenant.api_key)
        assert answer.status_code == 200, answer.text

    def connect(self) -> None:
        """Open a connection for this machine, which ends an earlier one."""
        found = self._post("/apv/v27/device/connect", {"deviceaddress": self.address, "wait": "true"})
        self.host: str = httpx.URL(found["connection"]["proxy"]).netloc.decode()

    def _post(self, path: str, body: dict[str, str]) -> Any:
        answer = self.site.http.post(path, headers=self.tenant.headers, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def operate(self, action: str, **body: Any) -> None:
        self.site.operator.post("devices", self.id, action, **body)

    def ask(self, method: str = "GET", path: str = "/", body: bytes | None = None) -> httpx.Response:
        """Send a client's request through the connection."""
        headers = {"Host": self.host, "Content-Type": "application/octet-stream"}
        return self.site.http.request(method, path, headers=headers, content=body)

    def insist(self, method: str, path: str, body: bytes | None = None) -> httpx.Response:
        """Send a request, and again if there was no response in time: on a busy machine, a device can look silent."""
        found = self.ask(method, path, body)
        return self.ask(method, path, body) if found.status_code == 504 else found

    def answer(self, body: bytes) -> str:
        """Send a body. Return "right" if the device's own service answers with its own bytes, or else what came."""
        found = self.insist("POST", "/", body)
        right = (found.status_code, found.headers.get("x-device"), found.content) == (200, self.name, body[::-1])
        return "right" if right else f"{found.status_code} {found.text[:100]}"

    @contextmanager
    def online(self, **settings: Any) -> Iterator["Agent"]:
        """Run an agent, and wait until the device is online."""
        agent = Agent(self, **settings)
        try:
            agent.wait()
            yield agent
        finally:
            agent.kill()


class Agent:
    """The agent's process. `wait` returns when it is online."""

    def __init__(
        self,
        device: Device,
        *,
        url: str | None = None,
        options: Sequence[str] = (),
        service: Service | None = None,
    ) -> None:
        path = device.site.folder / f"{device.name}-{next(_numbers)}.credential"
        path.touch(mode=0o600)
        path.write_text(device.credential)
        self.lines: list[str] = []
        self._connected = threading.Event()
        self.process = subprocess.Popen(
            [
                *(sys.executable, ROOT / "agent" / "bindery_agent.py"),
                *("--url", url or device.site.server.environment["DEVICES_URL"]),
                *("--credential-file", path, "--service", f"http=127.0.0.1:{(service or device.service).port}"),
                *options,
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stderr:
            self.lines.append(line)
            if " online: " in line:
                self._connected.set()

    def wait(self) -> None:
        assert self._connected.wait(TIME_LIMIT), self.lines

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """End the process as a power cut does."""
        self.process.kill()
        self.process.wait(TIME_LIMIT)
        self._reader.join(TIME_LIMIT)
        self.process.stderr.close()

    def memory(self) -> int:
        """Return the bytes of its own that the process has in memory: without programs and libraries."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon"))


def dribble(port: int, beginning: bytes) -> socket.socket:
    """Open a connection that sends the beginning of a request, and no more."""
    opened = socket.create_connection(("127.0.0.1", port), TIME_LIMIT)
    opened.sendall(beginning)
    return opened
