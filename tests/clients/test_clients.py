"""Small clients of each API, in the style of existing ones, from the first login to the last call.

Each client is run once. The server's log has the operations that they called.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from botocore.credentials import Credentials

from tests.server.servers import Server
from tools import template
from tools.cli.client import Client
from tools.local import demo, engine
from tools.voices import VOICES

HERE = Path(__file__).parent
PAGE = "https://app.example.com"
APIS = [api for api in VOICES if api != "admin"]
STYLES = {
    "python": ([sys.executable, "-I", "client.py"], ["openssl"]),
    "node": (["node", "client.mjs"], ["node"]),
    "curl": (["bash", "client.sh"], ["curl", "openssl"]),
    "php": (["php", "client.php"], ["php"]),
    "go": (["{tmp}/client"], ["go"]),
}
"""Command of each language's clients, and the programs that it needs."""

ADDRESSES = {
    "80:00:00:00:00:00:0C:01": {"service": "ssh", "port": 22},
    "80:00:00:00:00:00:0C:02": {"service": "http", "port": 8080},
    "80:00:00:00:00:00:0C:03": {},
}
"""Services of the demo's camera. A client deletes the last one."""
PROPERTY = {"type": "PROPERTY", "subType": "RW"}
TSL = {
    "properties": [
        PROPERTY | {"id": 1, "code": "switch", "name": "Switch", "dataType": "BOOL", "sort": 1},
        PROPERTY | {"id": 2, "code": "brightness", "name": "Brightness", "dataType": "INT", "sort": 2},
    ]
}


@dataclass
class Clients:
    """The clients, and the server that they call."""

    server: Server
    tmp: Path
    environment: dict[str, str]
    _ran: dict[tuple[str, str], subprocess.CompletedProcess[str]] = field(default_factory=dict)

    def run(self, style: str, api: str) -> subprocess.CompletedProcess[str]:
        """Run a client, unless it has run before."""
        if (style, api) not in self._ran:
            command, needs = STYLES[style]
            assert all(map(shutil.which, needs)), f"the {style} clients need {' and '.join(needs)}: make clients"
            if style == "go":
                self._build()
            self._ran[style, api] = subprocess.run(
                [*(part.format(tmp=self.tmp) for part in command), api],
                cwd=HERE,
                env=self.environment | {"QUECTEL_SN": serial(style)},
                capture_output=True,
                text=True,
                timeout=300,
            )
        return self._ran[style, api]

    def _build(self) -> None:
        """Build the Go clients, without the network and outside of the user's own folders."""
        if (self.tmp / "client").exists():
            return
        settings = {"GO111MODULE": "off", "GOPROXY": "off", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
        folders = {"HOME": str(self.tmp), "GOCACHE": f"{self.tmp}/cache", "GOPATH": f"{self.tmp}/path"}
        sources = sorted((HERE / "go").glob("*.go"))
        built = subprocess.run(
            ["go", "build", "-o", self.tmp / "client", *sources],
            env={"PATH": os.environ["PATH"]} | settings | folders,
            capture_output=True,
            text=True,
        )
        assert built.returncode == 0, built.stderr

    def succeeded(self) -> set[str]:
        """Return the operations that the server has performed, according to its log."""
        httpx.get(f"{self.server.url}/end-of-log")
        deadline = time.monotonic() + 30
        while not any("/end-of-log" in line for line in self.server.output):
            assert time.monotonic() < deadline, "the log has no line of the last request"
            time.sleep(0.01)
        requests = [json.loads(line) for line in self.server.output if line.startswith("{")]
        return {request["operation"] for request in requests if request.get("Refused") == 0}


def serial(style: str) -> str:
    return f"CLIENT-{style.upper()}"


def enter(server: Server) -> None:
    """Enter as an operator what the clients expect beyond the demo data."""
    key = Credentials(server.environment["BINDERY_ACCESS_KEY_ID"], server.environment["BINDERY_SECRET_ACCESS_KEY"])
    operator = Client(server.url, key, engine.REGION)
    operator.ask("PUT", "products", demo.PRODUCT_KEY, "tsl", body=TSL)
    rows = [
        {"product_key": demo.PRODUCT_KEY, "serial": serial(style), "device_key": f"C11E4{number:03}"}
        for number, style in enumerate(STYLES)
    ]
    assert operator.post("devices", "import", rows=rows)["created"] == len(rows)
    (camera,) = operator.get("devices", address=server.environment["REMOTEIT_DEVICE_ADDRESS"])["items"]
    for address, service in ADDRESSES.items():
        operator.ask("PUT", "devices", camera["device"], "address", body={"address": address, **service})
    operator.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that PAGE may call, and whose tokens have scopes."""
    state = tmp_path_factory.mktemp("clients") / "state"
    running = Server(state, "--origins", PAGE, "--log", "json", module="tests.clients.scopes")
    enter(running)
    yield running
    assert running.stop() == 0, running.output


@pytest.fixture(scope="module")
def clients(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Clients:
    country, phone = demo.PHONE
    more = {
        "PATH": os.environ["PATH"],
        "HOST": server.url,
        "QUECTEL_COUNTRY": country,
        "QUECTEL_PHONE": phone,
        "QUECTEL_PHONE_PASSWORD": server.environment["REMOTEIT_PASSWORD_OTHER"],
        "REMOTEIT_OLD_ADDRESS": list(ADDRESSES)[-1],
    }
    return Clients(server, tmp_path_factory.mktemp("built"), server.environment | more)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("style", STYLES)
def test_existing_client_works_with_only_host_and_credentials_changed(clients: Clients, style: str, api: str) -> None:
    ran = clients.run(style, api)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_each_operation_succeeds_for_a_client(clients: Clients) -> None:
    for style in STYLES:
        for api in APIS:
            clients.run(style, api)
    operations = {function.name for function in template.functions() if function.name.partition(".")[0] in APIS}
    assert operations - clients.succeeded() == set()


@pytest.mark.parametrize(("page", "printed"), [(PAGE, "status: 201"), ("https://evil.example.com", "blocked by CORS")])
def test_documented_javascript_sample_works_on_a_page_of_an_allowed_origin(server: Server, page: str, printed: str):
    sample = template.ROOT / "tests/server/samples/rufus.js"
    script = sample.read_text().replace("https://api.runonrufus.com", server.url)
    ran = subprocess.run(
        ["node", "--require", HERE / "browser.js", "--eval", script],
        env={"PATH": os.environ["PATH"], "PAGE": page},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert printed in ran.stdout + ran.stderr
