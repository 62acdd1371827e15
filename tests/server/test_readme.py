"""The requests in the README return the responses shown there, on a new server."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.server.servers import Server
from tools.template import ROOT

EXAMPLE = re.compile(r"^\*\*(\w+)\*\*.*?^```sh\n(.*?)^```\n```json\n(.*?)\n```", re.MULTILINE | re.DOTALL)
EXAMPLES = EXAMPLE.findall((ROOT / "README.md").read_text())
VARYING = {"deviceid", "authKey", "timestamp", "time", "expirationsec", "connectionid", "proxy", "proxyserver"} | {
    "requested",
    "requestedAt",
}
"""Members whose value differs between installations or requests. All others must match the README exactly."""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Any:
    server = Server(tmp_path_factory.mktemp("readme") / "state")
    yield server
    assert server.stop() == 0, server.output


def shape(value: Any, name: str = "") -> Any:
    """Replace varying values in a JSON value by their type and length, keeping the order of members."""
    if isinstance(value, dict):
        return [(member, shape(content, member)) for member, content in value.items()]
    if name in VARYING:
        return type(value), len(value) if isinstance(value, str) and name != "requested" else None
    return value


def test_readme_has_an_example_of_each_api() -> None:
    assert [name for name, _, _ in EXAMPLES] == ["rufus", "quectel", "asseco", "remoteit", "vodlix"]


@pytest.mark.parametrize(("name", "script", "answer"), EXAMPLES, ids=[name for name, _, _ in EXAMPLES])
def test_readme_example_returns_the_response_shown(
    fresh: Server, tmp_path: Path, name: str, script: str, answer: str
) -> None:
    (tmp_path / ".local").symlink_to(fresh.state)
    commands = script.replace("http://127.0.0.1:3000", fresh.url)
    ran = subprocess.run(["bash", "-euc", commands], cwd=tmp_path, capture_output=True, text=True, check=True)
    answered = ran.stdout.replace(f"localhost:{fresh.port}", "localhost:3000").replace(f'"{fresh.port}"', '"3000"')
    assert shape(json.loads(answered)) == shape(json.loads(answer))
    assert ran.stdout == json.dumps(json.loads(ran.stdout), separators=(",", ":"))
