"""Arguments of the agent's command line, and the Python versions that it runs on."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from agent.bindery_agent import VERSION, Server, Service, main, parse_service, parse_url, read_credential
from tests.agent.link_server import AGENT
from tools.template import ROOT

OPENWRT = {
    "light": {
        *("__future__", "argparse", "base64", "calendar", "errno", "hashlib", "ipaddress", "json", "os", "random"),
        *("re", "signal", "socket", "ssl", "stat", "struct", "sys", "time", "typing"),
    },
    "asyncio": {"asyncio"},
    "logging": {"logging"},
    "urllib": {"urllib.parse"},
}
"""Modules in OpenWrt's Python packages that docs/agent.md installs. All of them are in Python 3.8."""


@pytest.mark.parametrize(
    ("url", "server", "authority"),
    [
        ("wss://link.example.com/link", Server(True, "link.example.com", 443, "/link"), "link.example.com"),
        ("wss://LINK.example.com:8443", Server(True, "link.example.com", 8443, "/"), "link.example.com:8443"),
        ("wss://[2001:db8::1]/a?b=c", Server(True, "2001:db8::1", 443, "/a?b=c"), "[2001:db8::1]"),
        ("ws://127.0.0.1:3000/link", Server(False, "127.0.0.1", 3000, "/link"), "127.0.0.1:3000"),
        ("ws://[::1]/link", Server(False, "::1", 80, "/link"), "[::1]"),
        ("ws://localhost/link", Server(False, "localhost", 80, "/link"), "localhost"),
    ],
)
def test_url_is_parsed(url: str, server: Server, authority: str) -> None:
    assert parse_url(url) == server
    assert server.authority == authority


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--url", "https://link.example.com/link"], "is not a WebSocket URL"),
        (["--url", "wss:///link"], "is not a WebSocket URL"),
        (["--url", "wss://link.example.com/link#top"], "is not a WebSocket URL"),
        (["--url", "wss://user:secret@link.example.com/"], "the credential belongs in --credential-file"),
        (["--url", "wss://link.example.com/a b"], "printable ASCII characters and no spaces"),
        (["--url", "wss://link.example.com/a\r\nX: y"], "printable ASCII characters and no spaces"),
        (["--url", "wss://link.example.com:99999/"], "Port out of range"),
        (["--url", "ws://link.example.com/link"], "would send the credential unencrypted; use wss://"),
        (["--url", "ws://192.168.1.1/link"], "would send the credential unencrypted"),
        (["--url", "ws://127.0.0.1.example.com/link"], "would send the credential unencrypted"),
        (["--url", "ws://localhost.example.com/link"], "would send the credential unencrypted"),
        *(
            (["--service", text], f"{text} ")
            for text in (
                *("http", "http=", "=127.0.0.1:80", "http=:80", "http=127.0.0.1", "http=127.0.0.1:", "http=::1:80"),
                *("HTTP=a:1", "a b=c:1", "http=a b:1", "http=a:0", "http=a:65536", "http=a:-1", "http=a:1.5"),
                *("http=a:\u0661", "a" * 33 + "=b:1"),
            )
        ),
        (["--service", "http=a:1", "--service", "http=b:2"], "two services have the same name"),
        ([f"--service=s{number}=a:1" for number in range(17)], "at most 16 services"),
        (["--ca-file", "/missing"], "cannot read /missing: No such file"),
        (["--ca-file", "/dev/null"], "/dev/null has no CA certificates in PEM"),
    ],
)
def test_invalid_argument_is_refused(
    arguments: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--credential-file", str(tmp_path / "credential"), "--url", "wss://link.example.com", *arguments])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert reason in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("text", "service"),
    [
        ("http=127.0.0.1:80", Service("http", "127.0.0.1", 80)),
        ("web-2-a=camera.lan:65535", Service("web-2-a", "camera.lan", 65535)),
        ("ssh=[::1]:22", Service("ssh", "::1", 22)),
    ],
)
def test_service_is_parsed(text: str, service: Service) -> None:
    assert parse_service(text) == service


def test_version_is_bindery_s(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"bindery_agent {VERSION}\n"
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


def test_agent_has_the_syntax_and_imports_of_python_3_8() -> None:
    tree = ast.parse(AGENT.read_text(), feature_version=(3, 8))
    imported = {
        name
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported == set().union(*OPENWRT.values())


def test_documentation_installs_openwrts_packages() -> None:
    page = (ROOT / "docs/agent.md").read_text()
    installed = re.search(r"^opkg install (.*)$", page, re.MULTILINE)
    assert installed
    assert {f"python3-{name}" for name in OPENWRT} <= set(installed[1].split())


@pytest.mark.parametrize(
    ("mode", "content", "reason"),
    [
        (0o604, "secret", "other users may access the credential file {file} (mode 0604). Run: chmod 600 {file}"),
        (0o600, " \n", "the credential file {file} is empty"),
        (0o600, "secret\nsecret", "the credential file {file} must have one line of printable ASCII without spaces"),
        (0o600, "s\u00e9cret", "the credential file {file} must have one line of printable ASCII without spaces"),
        (0o600, "s" * 5000, "the credential file {file} must have one line of printable ASCII without spaces"),
        (0o600, None, "cannot read the credential file {file}: No such file or directory"),
    ],
)
def test_unusable_credential_file_ends_the_agent(
    mode: int, content: str | None, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "credential"
    if content:
        file.write_text(content)
        file.chmod(mode)
    assert main(["--url", "wss://link.example.com", "--credential-file", str(file)]) == 3
    assert capsys.readouterr().err.partition(" ")[2] == reason.format(file=file) + "\n"


def test_group_may_read_the_credential_file(tmp_path: Path) -> None:
    file = tmp_path / "credential"
    file.write_text(" secret\n")
    file.chmod(0o640)
    assert read_credential(str(file)) == "secret"
