"""The endpoint and credentials that the command line uses."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.server.servers import Server
from tests.tools.conftest import Bindery
from tools.cli import client

NOBODY: dict[str, Any] = dict.fromkeys(("BINDERY_ENDPOINT", "BINDERY_ACCESS_KEY_ID", "BINDERY_SECRET_ACCESS_KEY"))
"""Environment variables without an endpoint or credentials."""


@pytest.fixture
def admin_json(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`.local/admin.json` in the current folder, as the running server writes it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(client, "__file__", str(tmp_path / "tools" / "cli" / "client.py"))
    file = tmp_path / ".local" / "admin.json"
    file.parent.mkdir()
    shutil.copy(server.state / "admin.json", file)
    return file


def test_implicit_local_server_is_printed(bindery: Bindery, environment: dict[str, str], admin_json: Path) -> None:
    found = bindery("accounts show demo", env=NOBODY)
    assert found.exit_code == 0
    assert found.stderr == (
        f"bindery: using the local server {environment['BINDERY_ENDPOINT']} ({admin_json.relative_to(Path.cwd())})\n"
    )
    named = bindery(f"accounts show demo --endpoint {environment['BINDERY_ENDPOINT']}", env=NOBODY)
    assert (named.exit_code, named.stderr) == (0, "")


NOT_LOCAL = "names {}, which is not a server on this machine, so it is not used"


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        *(
            (f'"endpoint": "{endpoint}"', 0o600, NOT_LOCAL.format(endpoint))
            for endpoint in ("https://api.example.com", "http://api.example.com", "https://127.0.0.1:3000", "http://[")
        ),
        ("", 0o620, "is writable by other users"),
        ("", 0o602, "is writable by other users"),
        ("{", 0o600, "cannot be read"),
        ('"extra": 1', 0o600, "cannot be read"),
    ],
)
def test_admin_file_that_is_not_trusted_is_refused(
    bindery: Bindery, admin_json: Path, content: str, mode: int, said: str
) -> None:
    if content:
        # The last of two members with a name counts.
        admin_json.write_text(admin_json.read_text().rstrip("}\n") + f", {content}}}")
    admin_json.chmod(mode)
    refused = bindery("accounts list", env=NOBODY)
    assert (refused.exit_code, said in refused.stderr) == (client.Exit.USAGE, True), refused.stderr


def test_admin_file_of_another_user_is_refused(
    bindery: Bindery, admin_json: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    refused = bindery("accounts list", env=NOBODY)
    assert (refused.exit_code, f"belongs to another user (uid {owner})" in refused.stderr) == (client.Exit.USAGE, True)


def test_symbolic_link_is_not_followed(bindery: Bindery, admin_json: Path) -> None:
    admin_json.symlink_to(admin_json.rename(admin_json.with_name("elsewhere.json")))
    assert "cannot be read" in bindery("accounts list", env=NOBODY).stderr


def test_key_pair_of_another_local_server_is_not_used(
    bindery: Bindery, environment: dict[str, str], admin_json: Path
) -> None:
    refused = bindery("accounts list --endpoint http://127.0.0.1:9", env=NOBODY)
    assert refused.exit_code == client.Exit.USAGE
    assert (
        f"the key pair in .local/admin.json is for {environment['BINDERY_ENDPOINT']}, not for http://127.0.0.1:9."
        " Run the command in the folder where `make run` started that server" in refused.stderr
    )


def test_refused_key_pair_of_a_local_server_is_explained(bindery: Bindery) -> None:
    refused = bindery("accounts list", env={"BINDERY_SECRET_ACCESS_KEY": "another"})
    assert refused.exit_code == client.Exit.FORBIDDEN
    assert "the key pair may belong to another local server. Run the command in the folder where" in refused.stderr
