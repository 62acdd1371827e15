"""The smoke tests of deployed stacks pass against the local server and clean up."""

import os
import subprocess
import sys

import httpx
import pytest
from botocore.credentials import Credentials

from tests.deployed.smoke import challenge
from tests.server.servers import Server
from tools.cli.client import REGION, Client
from tools.template import ROOT

COMMAND = "-W error -m pytest --noconftest --tb=short tests/deployed/smoke.py"
KEYS = ("BINDERY_ACCESS_KEY_ID", "BINDERY_SECRET_ACCESS_KEY")
GIVEN = (*KEYS, "DEVICES_URL")


def smoke(server: Server, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the smoke tests against a server, as `make smoke` does."""
    given = {name: server.environment[name] for name in GIVEN} | {"BINDERY_ENDPOINT": server.url} | more
    return subprocess.run(
        [sys.executable, *COMMAND.split()],
        cwd=ROOT,
        env=dict(os.environ) | given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_smoke_tests_pass_and_clean_up(server: Server):
    assert f"$(TEST) {COMMAND}\n" in (ROOT / "Makefile").read_text()
    operators = Client(server.url, Credentials(*(server.environment[name] for name in KEYS)), REGION)
    for more in ({"ASSECO_TOKEN": server.environment["ASSECO_TOKEN"]}, {}):
        run = smoke(server, **more)
        assert "7 passed" in run.stdout, run.stdout
        assert operators.get("accounts", "smoke")["enabled"] is False
        assert operators.get("users", account="smoke")["items"] == []
        keys = operators.get("keys", account="smoke")["items"]
        assert [key for key in keys if key["revoked_at"] is None] == []
        (device,) = operators.get("devices", serial="SMOKE-1")["items"]
        assert operators.get("devices", device["device"])["binding"] is None
    operators.close()


@pytest.mark.parametrize("name", ["WWW-Authenticate", "x-amzn-Remapped-WWW-Authenticate"])
def test_challenge_is_read_from_either_header(name: str):
    assert challenge(httpx.Headers({name: 'Bearer realm="device"'})) == 'Bearer realm="device"'
