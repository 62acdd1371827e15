"""The smoke tests of deployed stacks pass against the local server and clean up."""

import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from botocore.credentials import Credentials

from tests.server.servers import Server
from tools.cli.client import REGION, Client
from tools.template import ROOT

COMMAND = "-W error -m pytest --noconftest --tb=short tests/deployed/"
KEYS = ("BINDERY_ACCESS_KEY_ID", "BINDERY_SECRET_ACCESS_KEY")
GIVEN = (*KEYS, "DEVICES_URL")


def smoke(server: Server, module: str, *options: str, **more: str) -> str:
    """Run the tests of a module against a server, as `make smoke` and `make smoke-long` do, and return the output."""
    assert f"$(TEST) {COMMAND}{module}\n" in (ROOT / "Makefile").read_text()
    # Not the rest of the shell's environment, which may have another server's credentials.
    given = {name: server.environment[name] for name in GIVEN} | {"BINDERY_ENDPOINT": server.url} | more
    run = subprocess.run(
        [sys.executable, *f"{COMMAND}{module}".split(), *options],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]} | given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return run.stdout


def test_smoke_tests_pass_and_clean_up(server: Server):
    operators = Client(server.url, Credentials(*(server.environment[name] for name in KEYS)), REGION)
    with closing(operators):
        said = smoke(server, "smoke.py", ASSECO_TOKEN=server.environment["ASSECO_TOKEN"])
        assert "8 passed" in said, said
        assert re.search(r"a byte took \d+ ms there and back, and 1 MB \d+\.\d s", said)
        again = smoke(server, "smoke.py", "-kasseco")
        assert "1 passed" in again, again
        assert operators.get("accounts", "smoke")["enabled"] is False
        assert operators.get("users", account="smoke")["items"] == []
        keys = operators.get("keys", account="smoke")["items"]
        assert [key for key in keys if key["revoked_at"] is None] == []
        (device,) = operators.get("devices", serial="SMOKE-1")["items"]
        assert operators.get("devices", device["device"])["binding"] is None


def test_idle_connection_and_end_of_a_connection_are_reported(tmp_path: Path):
    server = Server(tmp_path, module="tests.server.brief")
    said = smoke(server, "long.py", SMOKE_IDLE="0.5")
    assert "2 passed" in said, said
    assert "ping frames alone keep a connection open for 1 s\n" in said
    ended = r"the connection ended after \d+ s: the server closed the connection .*1001"
    assert re.search(ended, said), said
    assert server.stop() == 0
