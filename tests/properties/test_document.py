"""The OpenAPI document against the running server: schemathesis, with all of its checks, over real HTTP."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.properties import scale
from tests.server.servers import Server
from tools import openapi

CONFIG = Path(__file__).with_name("schemathesis.toml")
CREDENTIALS = {
    "rufus": {"api_key": "RUFUS_UNBIND_KEY"},
    "quectel": {"Authorization": "QUECTEL_TOKEN"},
    "asseco": {"Authorization": "ASSECO_TOKEN"},
    "remoteit": {"developerkey": "REMOTEIT_DEVELOPER_KEY", "token": "REMOTEIT_TOKEN"},
    "vodlix": {},
}
"""By dialect: its headers, and the variables of demo.env that hold their values."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own, because nobody knows what state this leaves it in."""
    running = Server(tmp_path_factory.mktemp("document") / "state")
    yield running
    assert running.stop() == 0, running.output


@pytest.mark.parametrize("dialect", CREDENTIALS)
def test_the_server_is_as_the_document_says(dialect: str, server: Server, tmp_path: Path) -> None:
    document = tmp_path / "bindery.json"
    document.write_text(openapi.text())
    headers = [
        option
        for name, variable in CREDENTIALS[dialect].items()
        for option in ("--header", f"{name}: {_scheme(dialect)}{server.environment[variable]}")
    ]
    options = {
        "--url": server.url,
        "--include-tag": dialect,
        # Each of quectel's operations beside the login answers under two prefixes: one of them is enough.
        "--exclude-path-regex": "^/v2/enduser/enduserapi/(?!emailPwdLogin)",
        "--phases": "examples,coverage,fuzzing" if scale.FULL else "examples",
        "--max-examples": "100",
        "--seed": "1",
    }
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "--config-file",
        str(CONFIG),
        "run",
        str(document),
        "--no-color",
    ]
    ran = subprocess.run(
        [*command, *(word for option in options.items() for word in option), *headers],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    report = re.sub(r"(?s).*?(?==+ FAILURES)", "", ran.stdout, count=1)
    assert ran.returncode == 0, report + ran.stderr


def _scheme(dialect: str) -> str:
    return "bearer " if dialect == "asseco" else ""
