"""Fixtures that run the command line against a local server."""

import shlex
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.agent.conftest import _short_waits
from tests.server.conftest import server
from tests.server.programs import COMMAND
from tests.server.servers import Server

__all__ = ["_short_waits", "bindery", "environment", "server"]

Bindery = Callable[..., Result]


@pytest.fixture(scope="session")
def environment(server: Server) -> dict[str, str]:
    return {"BINDERY_ENDPOINT": server.url} | {
        name: server.environment[name] for name in ("BINDERY_ACCESS_KEY_ID", "BINDERY_SECRET_ACCESS_KEY")
    }


@pytest.fixture
def bindery(environment: Mapping[str, str]) -> Bindery:
    """Run a command line. `None` in `env` removes a variable."""

    def run(line: str, *, stdin: str | None = None, env: Mapping[str, Any] | None = None) -> Result:
        return CliRunner().invoke(COMMAND, shlex.split(line), input=stdin, env={**environment, **(env or {})})

    return run
