"""Small clients of each API, in the style of existing ones, from the first login to the last call."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.servers import Server
from tools.template import ROOT
from tools.voices import VOICES

HERE = Path(__file__).parent
PAGE = "https://app.example.com"
STYLES = {
    "python": ([sys.executable, "-I", "client.py"], ["openssl"]),
    "node": (["node", "client.mjs"], ["node"]),
    "curl": (["bash", "client.sh"], ["curl", "openssl"]),
}
"""Command of each client, and the programs that it needs."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("clients") / "state")
    yield running
    assert running.stop() == 0, running.output


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that PAGE may call."""
    running = Server(tmp_path_factory.mktemp("open") / "state", "--origins", PAGE)
    yield running
    assert running.stop() == 0, running.output


@pytest.mark.parametrize("api", [api for api in VOICES if api != "admin"])
@pytest.mark.parametrize("style", STYLES)
def test_existing_client_works_with_only_host_and_credentials_changed(server: Server, style: str, api: str) -> None:
    command, needs = STYLES[style]
    assert all(map(shutil.which, needs)), f"the {style} clients need {' and '.join(needs)}"
    environment = {"PATH": os.environ["PATH"], "HOST": server.url} | server.environment
    ran = subprocess.run([*command, api], cwd=HERE, env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(("page", "printed"), [(PAGE, "status: 201"), ("https://evil.example.com", "blocked by CORS")])
def test_documented_javascript_sample_works_on_a_page_of_an_allowed_origin(
    open_server: Server, page: str, printed: str
):
    sample = (ROOT / "tests/server/samples/rufus.js").read_text().replace("https://api.runonrufus.com", open_server.url)
    ran = subprocess.run(
        ["node", "--require", HERE / "browser.js", "--eval", sample],
        env={"PATH": os.environ["PATH"], "PAGE": page},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert printed in ran.stdout + ran.stderr
