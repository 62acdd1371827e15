import secrets
from pathlib import Path

import boto3
import httpx
import pytest

from tools.local.engine import Engine, EngineError, keep

pytestmark = pytest.mark.usefixtures("engine")


def test_secret_is_generated_once_and_kept():
    assert keep("one", lambda: "first") == "first"
    assert keep("one", lambda: "second") == "first"


def test_interrupted_stop_leaves_nothing_behind(environment: pytest.MonkeyPatch, tmp_path: Path):
    made = []
    for _ in range(3):
        with Engine(tmp_path) as other:
            for name, value in other.environment().items():
                environment.setenv(name, value)
            made.append(keep("one", lambda: secrets.token_hex()))
        folder = tmp_path / "registry"
        (snapshot,) = folder.glob("snapshot-*")
        # One stop died while it wrote the next snapshot, another before it dropped the last one.
        (folder / "snapshot-7.new").mkdir()
        (folder / "snapshot-7.new" / "dynamodb.json").write_text("{")
        (folder / "snapshot-0").mkdir()
        (folder / "journal-0").write_text("half")
    assert len(set(made)) == 1
    assert snapshot.name == "snapshot-3"
    assert (tmp_path / "registry.log").read_text() == ""


def test_failed_start_names_the_log_file(tmp_path: Path):
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / "journal-0").write_text('{"headers": [], "body": ""}\n')
    with pytest.raises(EngineError, match=r"did not start\. See"), Engine(tmp_path):
        pass
    assert "cannot replay a change of the journal" in (tmp_path / "registry.log").read_text()


def test_damaged_snapshot_is_kept_and_not_replaced_by_an_empty_one(tmp_path: Path):
    with Engine(tmp_path):
        pass
    damaged = tmp_path / "registry" / "snapshot-1" / "dynamodb.json"
    damaged.write_text("{")
    with pytest.raises(EngineError), Engine(tmp_path):
        pass
    assert f"cannot read {damaged}" in (tmp_path / "registry.log").read_text()
    assert damaged.read_text() == "{"


def test_registry_requires_its_credential_and_host(engine: Engine):
    headers = {"x-amz-target": "DynamoDB_20120810.ListTables", "authorization": "AWS4-HMAC-SHA256 Credential=any"}
    address, _, path = engine.endpoint.rpartition("/")
    for url, host, status in (
        (f"{address}/{path}", None, 200),
        (f"{address}/", None, 403),
        (f"{address}/{path[:-1]}", None, 403),
        (f"{address}/{path}/more", None, 403),
        (f"{address}/{path}", "elsewhere.example", 403),
    ):
        given = headers if host is None else headers | {"host": host}
        assert httpx.post(url, headers=given, content=b"{}").status_code == status, (url, host)


def test_registry_generates_a_new_credential_at_every_start(engine: Engine, tmp_path: Path):
    with Engine(tmp_path) as other:
        assert other.endpoint.rpartition("/")[2] != engine.endpoint.rpartition("/")[2]


@pytest.mark.parametrize("target", ["AmazonSSM.PutParameter", ""])
def test_only_tables_and_secrets_are_reachable(engine: Engine, target: str):
    assert httpx.post(f"{engine.endpoint}/_ministack/reset", headers={"x-amz-target": target}).status_code == 403
    assert httpx.get(f"{engine.endpoint}/_ministack/health").status_code == 403
    tables = ["BindingsTable", "DevicesTable", "DirectoryTable", "FramesTable", "HistoryTable"]
    assert boto3.client("dynamodb").list_tables()["TableNames"] == tables
