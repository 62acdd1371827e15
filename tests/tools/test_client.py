"""Which installation the command line addresses, and with whose credentials."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.tools.conftest import Bindery
from tools.cli import client

NOBODY: dict[str, Any] = dict.fromkeys(("BINDERY_ENDPOINT", "BINDERY_ACCESS_KEY_ID", "BINDERY_SECRET_ACCESS_KEY"))
"""Nothing in the environment names an installation."""


@pytest.fixture
def admin_json(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`.local/admin.json` of the current folder, as the running server would write it."""
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


def test_installation_that_was_not_named_is_printed(
    bindery: Bindery, environment: dict[str, str], admin_json: Path
) -> None:
    found = bindery("accounts show demo", env=NOBODY)
    assert found.exit_code == 0
    assert found.stderr == (
        f"bindery: using the local server {environment['BINDERY_ENDPOINT']} ({admin_json.relative_to(Path.cwd())})\n"
    )
    named = bindery(f"accounts show demo --endpoint {environment['BINDERY_ENDPOINT']}", env=NOBODY)
    assert (named.exit_code, named.stderr) == (0, "")


@pytest.mark.parametrize("endpoint", ["https://api.example.com", "http://api.example.com", "https://127.0.0.1:3000"])
def test_file_of_the_folder_can_only_name_a_server_on_this_machine(
    bindery: Bindery, environment: dict[str, str], admin_json: Path, endpoint: str
) -> None:
    write(admin_json, environment, endpoint=endpoint)
    refused = bindery("accounts list", env=NOBODY)
    assert refused.exit_code == client.Exit.USAGE
    assert f"names {endpoint}, which is not a server on this machine, so it is not used" in refused.stderr


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_file_that_others_can_change_is_not_trusted(bindery: Bindery, admin_json: Path, mode: int) -> None:
    admin_json.chmod(mode)
    refused = bindery("accounts list", env=NOBODY)
    assert (refused.exit_code, "is writable by other users" in refused.stderr) == (client.Exit.USAGE, True)


def test_file_of_another_user_is_not_trusted(
    bindery: Bindery, admin_json: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    refused = bindery("accounts list", env=NOBODY)
    assert (refused.exit_code, f"belongs to another user (uid {owner})" in refused.stderr) == (client.Exit.USAGE, True)


@pytest.mark.parametrize("content", ["{", "[]", '{"endpoint": "http://[", "extra": 1}'])
def test_file_that_is_not_the_servers_is_refused(bindery: Bindery, admin_json: Path, content: str) -> None:
    admin_json.write_text(content)
    refused = bindery("accounts list", env=NOBODY)
    assert (refused.exit_code, "cannot be read" in refused.stderr) == (client.Exit.USAGE, True)


def test_symbolic_link_is_not_followed(bindery: Bindery, admin_json: Path) -> None:
    moved = admin_json.rename(admin_json.with_name("elsewhere.json"))
    admin_json.symlink_to(moved)
    refused = bindery("accounts list", env=NOBODY)
    assert (refused.exit_code, "cannot be read" in refused.stderr) == (client.Exit.USAGE, True)


def test_another_local_servers_key_pair_is_not_used(
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
