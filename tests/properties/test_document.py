"""Check the running server against the OpenAPI document: schemathesis with all of its checks, over real HTTP."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.properties import scale
from tests.server.servers import Server
from tools.generate import openapi

CONFIG = Path(__file__).with_name("schemathesis.toml")
CREDENTIALS = {
    "rufus": {"api_key": "RUFUS_UNBIND_KEY"},
    "quectel": {"Authorization": "QUECTEL_TOKEN"},
    "asseco": {"Authorization": "ASSECO_TOKEN"},
    "remoteit": {"developerkey": "REMOTEIT_DEVELOPER_KEY", "token": "REMOTEIT_TOKEN"},
    "vodlix": {},
}
"""By API: its headers, and the variables of demo.env that hold their values."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a separate server, because schemathesis leaves it in an unknown state."""
    running = Server(tmp_path_factory.mktemp("document") / "state")
    yield running
    assert running.stop() == 0, running.output


@pytest.mark.parametrize("dialect", CREDENTIALS)
def test_server_matches_the_openapi_document(dialect: str, server: Server, tmp_path: Path) -> None:
    document = tmp_path / "bindery.json"
    document.write_text(openapi.text())
    headers = [
        option
        for name, variable in CREDENTIALS[dialect].items()
        for option in ("--header", f"{name}: {'bearer ' * (dialect == 'asseco')}{server.environment[variable]}")
    ]
    options = {
        "--url": server.url,
        "--include-tag": dialect,
        # Most operations of quectel and all of remoteit have two path prefixes. Checking one of them is enough. A
        # logout would end the token of the other requests.
        "--exclude-path-regex": r"^/v2/enduser/enduserapi/(?!emailPwdLogin|phonePwdLogin|refreshToken|userInfo)"
        r"|^/apv/v23\.5/|/user/logout$",
        "--phases": "examples,coverage,fuzzing" if scale.FULL else "examples",
        "--max-examples": "100",
        "--seed": "1",
    }
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", CONFIG, "run", document, "--no-color"]
    ran = subprocess.run(
        [*command, *(word for option in options.items() for word in option), *headers],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    report = re.sub(r"(?s).*?(?==+ FAILURES)", "", ran.stdout, count=1)
    assert ran.returncode == 0, report + ran.stderr
