"""The endpoint and credentials that the command line uses."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.tools.conftest import Bindery
from tools.cli import client

NOBODY: dict[str, Any] = dict.fromkeys(("BINDERY_ENDPOINT", "BINDERY_ACCESS_KEY_ID", "BINDERY_SECRET_ACCESS_KEY"))
"""Environment variables without an endpoint or credentials."""


@pytest.fixture
def admin_json(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`.local/admin.json` in the current folder, as the running server writes it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(client, "__file__", str(tmp_path / "tools" / "cli" / "client.py"))
    file = tmp_path / ".local" / "admin.json"
    file.parent.mkdir()
    write(file, environment)
    return file


def write(file: Path, environment: dict[str, str], **changed: str) -> None:
    content = {
        "endpoint": environment["BINDERY_ENDPOINT"],
        "region": "eu-central-1",
        "access_key_id": environment["BINDERY_ACCESS_KEY_ID"],
        "secret_access_key": environment["BINDERY_SECRET_ACCESS_KEY"],
    }
    file.write_text(json.dumps(content | changed))
    file.chmod(0o600)


def test_implicit_local_server_is_printed(bindery: Bindery, environment: dict[str, str], admin_json: Path) -> None:
    found = bindery("accounts show demo", env=NOBODY)
    assert found.exit_code == 0
    assert found.stderr == (
        f"bindery: using the local server {environment['BINDERY_ENDPOINT']} ({admin_json.relative_to(Path.cwd())})\n"
    )
    named = bindery(f"accounts show demo --endpoint {environment['BINDERY_ENDPOINT']}", env=NOBODY)
    assert (named.exit_code, named.stderr) == (0, "")


@pytest.mark.parametrize("endpoint", ["https://api.example.com", "http://api.example.com", "https://127.0.0.1:3000"])
def test_admin_file_can_only_name_a_loopback_server(
    bindery: Bindery, environment: dict[str, str], admin_json: Path, endpoint: str
) -> None:
    write(admin_json, environment, endpoint=endpoint)
    refused = bindery("accounts list", env=NOBODY)
    assert refused.exit_code == client.Exit.USAGE
    assert f"names {endpoint}, which is not a server on this machine, so it is not used" in refused.stderr


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_admin_file_writable_by_others_is_refused(bindery: Bindery, admin_json: Path, mode: int) -> None:
    admin_json.chmod(mode)
    refused = bindery("accounts list", env=NOBODY)
    assert (refused.exit_code, "is writable by other users" in refused.stderr) == (client.Exit.USAGE, True)


def test_admin_file_of_another_user_is_refused(
    bindery: Bindery, admin_json: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    refused = bindery("accounts list", env=NOBODY)
    assert (refused.exit_code, f"belongs to another user (uid {owner})" in refused.stderr) == (client.Exit.USAGE, True)


@pytest.mark.parametrize("content", ["{", "[]", '{"endpoint": "http://[", "extra": 1}'])
def test_malformed_admin_file_is_refused(bindery: Bindery, admin_json: Path, content: str) -> None:
    admin_json.write_text(content)
    refused = bindery("accounts list", env=NOBODY)
    assert (refused.exit_code, "cannot be read" in refused.stderr) == (client.Exit.USAGE, True)


def test_symbolic_link_is_not_followed(bindery: Bindery, admin_json: Path) -> None:
    moved = admin_json.rename(admin_json.with_name("elsewhere.json"))
    admin_json.symlink_to(moved)
    refused = bindery("accounts list", env=NOBODY)
    assert (refused.exit_code, "cannot be read" in refused.stderr) == (client.Exit.USAGE, True)


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
