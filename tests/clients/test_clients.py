"""Small clients of each API, in the style of existing ones, from the first login to the last call."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.servers import Server
from tools.voices import VOICES

HERE = Path(__file__).parent
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


@pytest.mark.parametrize("api", [api for api in VOICES if api != "admin"])
@pytest.mark.parametrize("style", STYLES)
def test_existing_client_works_with_only_host_and_credentials_changed(server: Server, style: str, api: str) -> None:
    command, needs = STYLES[style]
    if missing := [program for program in needs if shutil.which(program) is None]:
        pytest.skip(f"{' and '.join(missing)} not found: the {style} clients were not run")
    environment = {"PATH": os.environ["PATH"], "HOST": server.url} | server.environment
    ran = subprocess.run([*command, api], cwd=HERE, env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
