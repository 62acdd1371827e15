"""SnapStart: a process that continues from a snapshot uses none of its connections and credentials."""

import os
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType

import pytest

from bindery.aws import clients, credentials, snapshots
from bindery.core import clock
from tests.layer.aws.conftest import Start, name_of
from tests.layer.aws.test_credentials import provided
from tools.template import ROOT

Hooks = list[Callable[[], None]]


@pytest.fixture
def restored(environment: pytest.MonkeyPatch) -> Hooks:
    """Provide the module of Lambda's runtime, and return what is to run after a restore."""
    hooks: Hooks = []
    runtime = ModuleType("snapshot_restore_py")
    runtime.register_after_restore = hooks.append  # type: ignore[attr-defined]
    environment.setitem(sys.modules, "snapshot_restore_py", runtime)
    environment.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    return hooks


def test_connection_of_a_snapshot_is_not_used(restored: Hooks, start: Start) -> None:
    server = start()
    client = clients.client("dynamodb")
    assert name_of(client, "one") == "one"
    for hook in restored:
        hook()
    assert name_of(client, "two") == "two"
    assert [request.connection for request in server.requests] == [1, 2]
    client.close()


def test_credentials_of_a_snapshot_are_not_used(restored: Hooks, environment: pytest.MonkeyPatch, start: Start) -> None:
    later = clock.seconds() + 7200
    server = start(provided("SNAPSHOT", later), provided("COPY", later))
    environment.delenv("AWS_ACCESS_KEY_ID")
    environment.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url)
    # As at the module's import.
    snapshots.after_restore(credentials.clear_cache)
    assert [credentials.find().access_key for _ in range(2)] == ["SNAPSHOT"] * 2
    for hook in restored:
        hook()
    assert credentials.find().access_key == "COPY"


def test_missing_module_of_the_runtime_is_no_error(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    environment.setitem(sys.modules, "snapshot_restore_py", None)
    snapshots.after_restore(credentials.clear_cache)
    assert snapshots.in_use()


IMPORT = """
import sys
from types import ModuleType

runtime, hooks = ModuleType("snapshot_restore_py"), []
runtime.register_after_restore = hooks.append
sys.modules["snapshot_restore_py"] = runtime
from bindery.aws import credentials, dynamodb

dynamodb.client().close()
print(*sorted(hook.__qualname__ for hook in hooks))
"""


def run(program: str, kind: str | None) -> str:
    """Run a program as in a function, and return its output."""
    given = {"PYTHONPATH": str(ROOT / "layers/bindery"), "AWS_CLIENT": "direct", "AWS_LAMBDA_INITIALIZATION_TYPE": kind}
    environment = {name: value for name, value in (os.environ | given).items() if value is not None}
    return subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)


@pytest.mark.parametrize(
    ("kind", "connected", "hooks"),
    [
        ("on-demand", 1, ""),
        ("snap-start", 0, "Client.close clear_cache"),
        (None, 0, ""),
    ],
)
def test_import_connects_ahead_unless_a_snapshot_follows(
    kind: str | None, connected: int, hooks: str, start: Start
) -> None:
    server = start()
    assert run(IMPORT, kind).strip() == hooks
    assert server.connections == connected
    assert server.requests == []


def test_import_works_without_a_connection(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    run("from bindery.aws import dynamodb", "on-demand")
