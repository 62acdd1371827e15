"""HTTP requests at a connection's host name, with the real agent and the local server."""

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.servers import Server
from tools.template import ROOT

BODY = random.Random(0).randbytes(1_000_000)


class Service(BaseHTTPRequestHandler):
    """Return a request's body, or respond only once the agent is gone."""

    protocol_version = "HTTP/1.1"
    started = threading.Event()
    released = threading.Event()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/slow":
            self.started.set()
            self.released.wait(60)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Do nothing."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("relay") / "state")
    yield running
    assert running.stop() == 0, running.output


@pytest.fixture(scope="module")
def service() -> Iterator[int]:
    """Run the device's service, and return its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as running:
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever).start()
        yield running.server_address[1]
        Service.released.set()
        running.shutdown()


@contextmanager
def agent(server: Server, folder: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    credential = folder / "credential"
    credential.touch(mode=0o600)
    credential.write_text(server.environment["REMOTEIT_DEVICE_CREDENTIAL"])
    options = ["--url", server.environment["DEVICES_URL"], "--credential-file", str(credential)]
    command = [sys.executable, str(ROOT / "agent/bindery_agent.py"), *options, "--service", f"http=127.0.0.1:{port}"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """A client of a connection to the device."""
    answer = ask(server, "connect", hostip="0.0.0.0")
    host = httpx.URL(answer["connection"]["proxy"]).netloc.decode()
    with httpx.Client(base_url=server.url, headers={"Host": host}, timeout=60) as opened:
        yield opened


def ask(server: Server, operation: str, **given: str) -> Any:
    demo = server.environment
    headers = {"token": demo["REMOTEIT_TOKEN"], "developerkey": demo["REMOTEIT_DEVELOPER_KEY"]}
    body = {"deviceaddress": demo["REMOTEIT_DEVICE_ADDRESS"], "wait": "true"} | given
    answer = httpx.post(f"{server.url}/apv/v27/device/{operation}", headers=headers, json=body).json()
    assert answer["status"] == "true", answer
    return answer


def online(client: httpx.Client) -> None:
    """Wait until the device is online."""
    for _ in range(300):
        if client.post("/", content=b"").status_code == 200:
            return
        time.sleep(0.1)
    raise AssertionError("the device is offline")


def test_client_reaches_the_service_while_the_agent_runs(
    server: Server, service: int, client: httpx.Client, tmp_path: Path
) -> None:
    with agent(server, tmp_path, service):
        online(client)
        answer = client.post("/", content=BODY)
        assert (answer.status_code, answer.content == BODY) == (200, True)
    for _ in range(300):
        if (answer := client.post("/", content=b"")).status_code == 503:
            break
        time.sleep(0.1)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")


ENDS: dict[str, tuple[Callable[[Server, "subprocess.Popen[bytes]"], object], int]] = {
    "killed": (lambda _, process: process.send_signal(signal.SIGKILL), 502),
    "frozen": (lambda _, process: process.send_signal(signal.SIGSTOP), 504),
    "replaced": (lambda server, _: ask(server, "connect", hostip="0.0.0.0"), 403),
}


@pytest.mark.parametrize(("end", "status"), ENDS.values(), ids=ENDS)
def test_request_ends_with_the_agent_or_the_connection(
    end: Callable[[Server, "subprocess.Popen[bytes]"], object],
    status: int,
    server: Server,
    service: int,
    client: httpx.Client,
    tmp_path: Path,
) -> None:
    Service.started.clear()
    with agent(server, tmp_path, service) as process:
        online(client)

        def after_start() -> None:
            assert Service.started.wait(30)
            end(server, process)

        waiting = threading.Thread(target=after_start)
        waiting.start()
        assert client.post("/slow", content=b"x").status_code == status
        waiting.join()
